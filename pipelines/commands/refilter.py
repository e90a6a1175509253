"""`gristmill refilter`."""

from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, named_files, runner_options, show


def refilter(
    context: typer.Context,
    workspace: WorkspaceOption,
    rules: Annotated[str, typer.Option(help="a bundled rule set, or a YAML file of SQL predicates")],
    classifier: Annotated[list[str] | None, typer.Option(help="NAME=PATH of a model; signal classifier_NAME")] = None,
    workers: WorkersOption = 1,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Filter again what dedup left, by other rules: precision, where filter was for recall.

    Signals are measured on the surviving documents alone, on their texts as they are by then, and kept in refiltered/;
    other thresholds decide from there. Writes decisions/refilter/. Runs after dedup and semantic, before tag.

    Example: gristmill refilter --rules precise.yaml --classifier math=math.bin --workspace W
    """
    from ..stages.refilter import RefilterSettings
    from ..stages.refilter import refilter as run

    settings = RefilterSettings(rules=rules, classifiers=named_files("--classifier", classifier))
    show(run(Workspace(workspace), settings, runner_options(context, workers), force, quiet=json), json)
