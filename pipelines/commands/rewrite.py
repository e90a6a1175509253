"""`gristmill rewrite`."""

from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from .engine_options import EndpointOption, EngineFileOption, ModelOption, RequestCacheOption, engine_of
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, settings_of, show


def rewrite(
    context: typer.Context,
    workspace: WorkspaceOption,
    style: Annotated[
        list[str] | None, typer.Option(help="easy, medium, hard, qa, or a style of --styles; may be repeated")
    ] = None,
    styles: Annotated[str | None, typer.Option(help="YAML file with styles of your own")] = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    engine: EngineFileOption = None,
    domain: Annotated[list[str] | None, typer.Option(help="only documents of this domain; may be repeated")] = None,
    share: Annotated[float, typer.Option(help="share of the documents to rewrite, drawn by id hash")] = 1.0,
    chunk_tokens: Annotated[int, typer.Option(help="most tokens of a chunk; longer ones lose information")] = 300,
    most_fallen: Annotated[float, typer.Option(help="largest share of a document's chunks that may fall back")] = 0.25,
    tokenizer: Annotated[str | None, typer.Option(help="tokenizer.json that counts a chunk's tokens")] = None,
    seed: Annotated[int, typer.Option(help="of the draws; equal seeds, equal requests")] = 0,
    prompt_price: Annotated[float, typer.Option(help="per million prompt tokens, for the account")] = 0.0,
    completion_price: Annotated[float, typer.Option(help="per million completion tokens, for the account")] = 0.0,
    adopt: Annotated[bool, typer.Option("--adopt", help="then take the new documents into documents/")] = False,
    language_model: Annotated[
        str | None, typer.Option(help="with --adopt: the model that extract was given, where it was given one")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="do those shards again in which a request failed")] = False,
    recipe: Annotated[
        str | None, typer.Option(help="no rewriting: set real to synthetic tokens in this recipe, in place")
    ] = None,
    ratio: Annotated[float, typer.Option(help="with --recipe: synthetic tokens for each real one")] = 1.0,
    request_cache: RequestCacheOption = None,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Rewrite each surviving document in one or more styles with a language model; originals stay as they are.

    Writes synthetic/ (new documents with parent, style and model), lineage/ and rewrites/ (each document rewritten or
    fallen back, and why). With --adopt the new documents join documents/ in domains named DOMAIN.STYLE. Replies are
    remembered in the workspace: a run that was killed asks for nothing twice.

    Example: gristmill rewrite --workspace W --style medium --endpoint http://localhost:8000/v1 --model mistral --adopt
    """
    place = Workspace(workspace)
    if recipe is not None:
        from ...mixing.recipe import load_recipe, save_recipe
        from ...mixing.synthetic import with_synthetic

        mixed = with_synthetic(load_recipe(recipe), tuple(style or ("easy", "hard", "medium", "qa")), ratio)
        save_recipe(mixed, recipe)
        show({"stage": "rewrite", "recipe": recipe, "shares": mixed.run_shares()}, json)
        return
    from ..stages.rewrite import RewriteSettings, run_rewrite
    from ..stages.rewrite import adopt as adopt_documents

    chosen = engine_of(endpoint, model, engine)
    if chosen is None:
        raise RequestError("rewriting needs a model: --endpoint and --model, --model FOLDER, or --engine FILE")
    settings = settings_of(
        RewriteSettings,
        engine=chosen,
        styles=tuple(style or ("medium",)),
        styles_file=styles,
        domains=tuple(domain or ()),
        share=share,
        chunk_tokens=chunk_tokens,
        most_fallen=most_fallen,
        tokenizer=tokenizer,
        seed=seed,
        prompt_price=prompt_price,
        completion_price=completion_price,
        request_cache=request_cache,
    )
    options = runner_options(context, workers)
    show(run_rewrite(place, settings, options, force, json, retry), json)
    if adopt:
        show(adopt_documents(place, options, language_model, json), json)
