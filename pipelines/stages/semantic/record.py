"""The record of the stage `semantic`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="semantic",
        about="""Drop duplicates in meaning, and prune by density, from a column of vectors.

Writes semantic/ (the centroids) and decisions/semantic/. Runs after dedup, before tag, score and select. Cosines
are of vectors from which their mean and first principal directions were taken away: unrelated documents are at 0.""",
        example="gristmill semantic --workspace W --model prior.safetensors --prune density --share 0.6",
        settings="....dedup.settings:SemanticSettings",
        run=".stage:semantic",
        after=("dedup",),
        reads=("documents",),
        writes=("embeddings", "semantic", "decisions/semantic"),
        decides=True,
        check=".checks:check",
        replay=(
            ("embeddings", ".again:embed"),
            ("decisions/semantic", ".again:decide"),
        ),
    ),
)
