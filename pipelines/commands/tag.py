"""`gristmill tag`."""

from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from .engine_options import EndpointOption, EngineFileOption, ModelOption, RequestCacheOption, engine_of
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, settings_of, show


def tag(
    context: typer.Context,
    workspace: WorkspaceOption,
    taxonomy: Annotated[
        list[str] | None, typer.Option(help="topic, format, quality_label, or one of --taxonomies; may be repeated")
    ] = None,
    taxonomies: Annotated[str | None, typer.Option(help="YAML file with taxonomies of your own")] = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    engine: EngineFileOption = None,
    sample: Annotated[
        int, typer.Option(help="documents that the engine labels; a small model learns from them")
    ] = 2000,
    learner: Annotated[str, typer.Option(help="what learns from the engine's labels: linear or fasttext")] = "linear",
    labeller: Annotated[
        list[str] | None, typer.Option(help="TAXONOMY=MODEL.bin, a fastText model of your own; may be repeated")
    ] = None,
    clusters: Annotated[int, typer.Option(help="k-means clusters to find; 0: none")] = 0,
    vectors: Annotated[
        str | None,
        typer.Option(help="cluster stored vectors instead of words: TABLE or TABLE:COLUMN, scores/rds:embedding say"),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="SQL over the tags; documents for which it is not true are dropped")
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="YAML file of rules over tag.COLUMN, say tag.quality_label >= threshold")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="tags that make the mixture unit: topic,quality_label or cluster or suffix …")
    ] = None,
    seed: Annotated[int, typer.Option(help="of samples, training and clusters")] = 0,
    request_cache: RequestCacheOption = None,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Say what each surviving document is: its URL's parts, topic, format, educational quality, cluster.

    Without a model only the URL is read. An engine labels a sample, a small model learns from it and labels the rest;
    their agreement is printed. Clusters are of words, or of vectors that are stored (of `gristmill score rds`, say): a
    document without one has no cluster. Writes tags/, decisions/tag/ and, with --domain, domains/: new mixture units.
    Rules may name tags here (--keep, --rules) and, once labels are learnt, in `gristmill filter --rules`.

    Example: gristmill tag --workspace W --clusters 12 --domain cluster
    """
    from ..stages.tag.stage import BUNDLED, TagSettings, run_tag

    models: dict[str, str] = {}
    for given in labeller or ():
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise RequestError(f"--labeller {given}: expected TAXONOMY=MODEL.bin")
        models[name] = path
    settings = settings_of(
        TagSettings,
        taxonomies=tuple(taxonomy or BUNDLED),
        taxonomies_file=taxonomies,
        engine=engine_of(endpoint, model, engine),
        sample=sample,
        learner=learner,
        models=models,
        clusters=clusters,
        vectors=vectors,
        keep=tuple(keep or ()),
        rules=rules,
        domain=tuple(name.strip() for name in domain.split(",")) if domain else (),
        seed=seed,
        request_cache=request_cache,
    )
    summary = run_tag(Workspace(workspace), settings, runner_options(context, workers), force, json)
    show(summary, json)
    if not json:
        for name, told in summary["details"]["agreement"].items():
            if told["agreement"] is not None:
                trivial = f"the commonest label alone {told['commonest_agreement']:.1%}"
                typer.echo(
                    f"tag: {name}: agrees with its teacher on {told['agreement']:.1%} of {told['held_back']} documents "
                    f"held back (kappa {told['kappa']:.2f}; {trivial})"
                )
