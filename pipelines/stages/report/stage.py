"""Write the page on a workspace, as a section of a settings file asks."""

from typing import Any

from ....corpus.store.workspace import Workspace
from ...engine.runner import RunnerOptions
from ...report.page import write_report
from ...report.settings import ReportSettings


def run_report(
    workspace: Workspace, settings: ReportSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Write the page."""
    return {"stage": "report", "details": write_report(workspace, settings)}
