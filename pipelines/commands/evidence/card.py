"""`gristmill card`."""

import json as json_format
from typing import Annotated

import typer

from ..options import JsonOption, WorkspaceOption, open_workspace


def card(
    workspace: WorkspaceOption,
    recipe: Annotated[str | None, typer.Option(help="weight sizes by the tokens that this recipe draws")] = None,
    run: Annotated[str | None, typer.Option(help="weight sizes by the tokens that this run drew")] = None,
    settings: Annotated[
        str | None, typer.Option(help="YAML file of what no table knows: provider, model, sources, measures")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="folder that gristmill write wrote, to describe; default: the workspace's tables")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="run the query of every figure again, and write nothing")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write the dataset card, Croissant and the public summary of training content, each figure with its SQL.

    README.md, croissant.json, training-content.md and .json, and figures.json lie in the workspace, or in the folder
    of --data. What neither the workspace nor the settings file tells is listed as missing, never filled in.

    Example: gristmill card --workspace W --run base --settings card.yaml
    """
    from ...evidence.card import check_card, load_card_settings, make_card, stream_of

    place = open_workspace(workspace)
    given, stream = load_card_settings(settings), stream_of(place, recipe, run)
    if check:
        found = check_card(place, given, stream, data)
        if json:
            typer.echo(json_format.dumps(found))
        else:
            typer.echo(f"card: {found['figures']} figures, {len(found['others'])} of them others now")
            for name in found["others"]:
                typer.echo(f"card: the query of {name} gives something else now")
        if found["others"]:
            raise typer.Exit(1)
        return
    told = make_card(place, given, stream, data)
    if json:
        typer.echo(json_format.dumps(told))
        return
    typer.echo(f"card: wrote {', '.join(told['files'])} to {told['place']}")
    for gap in told["missing"]:
        typer.echo(f"card: missing: {gap['title']} ({gap['field']}): {gap['told_by']}")
    for name in told["left_out"]:
        typer.echo(f"card: the column {name} has a type that Croissant has none for")
