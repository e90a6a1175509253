"""`gristmill trace`."""

import json as json_format
from typing import Annotated

import typer

from ..options import JsonOption, WorkspaceOption, open_workspace


def trace(
    id: Annotated[str, typer.Argument(help="32 hex digits, as in documents/")],
    workspace: WorkspaceOption,
    recipe: Annotated[str | None, typer.Option(help="name the steps of a run of this recipe")] = None,
    run: Annotated[list[str] | None, typer.Option(help="name the steps of this run; may be repeated")] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="of a run of the recipe: tokens per step")] = 8192,
    packing: Annotated[str, typer.Option(help="of a run of the recipe: concat, bestfit or decompose")] = "concat",
    seed: Annotated[int, typer.Option(help="of a run of the recipe: seed of the order")] = 0,
    json: JsonOption = False,
) -> None:
    """Print the way of one document: from the byte of its input to the steps of a run that read it.

    Without --recipe and --run, the steps of every run of the workspace are named.

    Example: gristmill trace 0123456789abcdef0123456789abcdef --workspace W
    """
    from ...evidence.streams import stream_of_recipe, stream_of_run, streams
    from ...evidence.trace import lines
    from ...evidence.trace import trace as way_of
    from ...stages.train.settings import TrainSettings
    from ..options import settings_of

    place = open_workspace(workspace)
    names = run if run is not None else [] if recipe is not None or not place.is_local else streams(place)
    along = [stream_of_run(place, name) for name in names]
    if recipe is not None:
        settings = settings_of(TrainSettings, batch_tokens=batch_tokens, packing=packing, seed=seed)
        along.append(stream_of_recipe(place, recipe, settings))
    told = way_of(place, id, along)
    typer.echo(json_format.dumps(told, default=str) if json else "\n".join(lines(told)))
