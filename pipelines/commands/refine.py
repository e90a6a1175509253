"""`gristmill refine`."""

from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from .engine_options import EndpointOption, EngineFileOption, ModelOption, RequestCacheOption, engine_of
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of


def refine(
    context: typer.Context,
    workspace: WorkspaceOption,
    by: Annotated[str, typer.Option(help="who writes the programs: rules, model or engine")] = "rules",
    line_model: Annotated[str | None, typer.Option(help="a model that --learn wrote, for --by model")] = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    engine: EngineFileOption = None,
    dialect: Annotated[
        str, typer.Option(help="how an engine is asked: instruct, or prox for the released ProX models")
    ] = "instruct",
    tokenizer: Annotated[str | None, typer.Option(help="tokenizer.json that counts the windows' tokens")] = None,
    dry_run: Annotated[
        int, typer.Option(min=0, help="show what would change in so many documents; decide nothing")
    ] = 0,
    learn: Annotated[str | None, typer.Option(help="train a line model on the stored programs, write it here")] = None,
    request_cache: RequestCacheOption = None,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Refine each surviving document by a small program: remove furniture, repair characters, drop what is left empty.

    Writes edits/refine/ (new text and what was cut), programs/ and decisions/refine/. The text of documents/ stays.
    The rules are the default and need no model; --by engine asks a language model for the programs.

    Example: gristmill refine --workspace W --dry-run 3
    """
    from ..stages.refine import REFINE, RefineSettings, preview
    from ..stages.refine import learn as learn_from

    place = Workspace(workspace)
    if learn is not None:
        from ...proxy_models.rewriting.refine_model import save_line_model

        save_line_model(learn_from(place), learn)
        typer.echo(f"refine: wrote {learn}; use it with --by model --line-model {learn}")
        return
    settings = settings_of(
        RefineSettings,
        by=by,
        line_model=line_model,
        engine=engine_of(endpoint, model, engine),
        dialect=dialect,
        tokenizer=tokenizer,
        request_cache=request_cache,
    )
    if dry_run:
        for id, shown in preview(place, settings, dry_run):
            typer.echo(f"document {id}\n{shown}\n")
        return
    run_and_show(context, REFINE, workspace, settings, workers=workers, force=force, as_json=json)
