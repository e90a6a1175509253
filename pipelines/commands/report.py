"""`gristmill report`."""

import json as json_format
import sys
from typing import Annotated

import typer

from .options import JsonOption, WorkspaceOption, open_workspace


def report(
    workspace: WorkspaceOption,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="the page; default: report.html in the workspace")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write one self-contained HTML page on a workspace.

    Shows the funnel, duplicates, the mixture, predicted and measured losses, training curves, and documents kept and
    dropped with the reason. What has not been run yet is named with the command that runs it.

    Example: gristmill report --workspace W --output report.html
    """
    from ..report.page import ReportSettings, describe, write_report

    result = write_report(open_workspace(workspace), ReportSettings(output=output))
    sys.stdout.write(json_format.dumps(result) + "\n" if json else describe(result))
