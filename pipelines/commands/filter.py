"""`gristmill filter`: measure signals and decide by a rule set."""

from typing import Annotated

import typer

from ...corpus.workspace import Workspace
from ..filter import FilterSettings, run_filter
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, show


def filter(
    context: typer.Context,
    workspace: WorkspaceOption,
    rules: Annotated[str, typer.Option(help="a bundled rule set, or a YAML file of SQL predicates")] = "gopher",
    signals: Annotated[list[str] | None, typer.Option(help="measure this family as well; may be repeated")] = None,
    all_failing: Annotated[bool, typer.Option(help="record every failing rule in failing_rules/")] = False,
    workers: WorkersOption = 1,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure signals of every document and decide its fate by a rule set.

    Reads documents/, writes signals/ and decisions/filter/. Signals are measured once: other rules decide from what
    is stored, without touching text. The first failing rule, its value and its threshold go on record.

    Example: gristmill filter --workspace W --rules fineweb
    """
    settings = FilterSettings(rules=rules, families=tuple(signals or ()), all_failing=all_failing)
    show(run_filter(Workspace(workspace), settings, runner_options(context, workers), force, quiet=json), json)
