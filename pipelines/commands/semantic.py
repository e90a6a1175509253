"""`gristmill semantic`."""

from enum import StrEnum
from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, show


class Prune(StrEnum):
    """How documents are chosen within the budget."""

    prototypes = "prototypes"
    density = "density"


def semantic(
    context: typer.Context,
    workspace: WorkspaceOption,
    model: Annotated[
        str | None, typer.Option(help="proxy model that makes the vectors, into embeddings/; as score writes them")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="its tokenizer.json, where it does not lie beside it and is not the workspace's")
    ] = None,
    table: Annotated[
        str, typer.Option(help="or the table that holds the vectors, with shards like those of documents/")
    ] = "embeddings",
    column: Annotated[str, typer.Option(help="list column of the vectors")] = "embedding",
    epsilon: Annotated[
        float | None, typer.Option(help="drop what has a cosine above 1 - epsilon with a document that is kept")
    ] = 0.05,
    centre: Annotated[bool, typer.Option(help="take away what all vectors share before they are compared")] = True,
    components: Annotated[
        int | None, typer.Option(help="principal directions of that; default: one for each 100 dimensions")
    ] = None,
    most: Annotated[float, typer.Option(help="refuse to drop more than this share of documents as duplicates")] = 0.5,
    prune: Annotated[Prune | None, typer.Option(help="prune to --share of the documents")] = None,
    share: Annotated[float, typer.Option(help="share of the documents that pruning keeps")] = 0.5,
    clusters: Annotated[
        int | None, typer.Option(help="k-means clusters; default: square root of the documents")
    ] = None,
    workers: WorkersOption = 1,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Drop duplicates in meaning, and prune by density, from a column of vectors.

    Writes semantic/ (the centroids) and decisions/semantic/. Runs after dedup, before tag, score and select. Cosines
    are of vectors from which their mean and first principal directions were taken away: unrelated documents are at 0.

    Example: gristmill semantic --workspace W --model prior.safetensors --prune density --share 0.6
    """
    from ...dedup.settings import SemanticSettings
    from ..stages.semantic.stage import semantic as run

    settings = SemanticSettings(
        model=model,
        tokenizer=tokenizer,
        table=table,
        column=column,
        centre=centre,
        components=components,
        epsilon=epsilon,
        most=most,
        prune=prune.value if prune else None,
        share=share,
        clusters=clusters,
    )
    show(run(Workspace(workspace), settings, runner_options(context, workers), force=force, quiet=json), json)
