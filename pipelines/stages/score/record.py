"""The record of the stage `score`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="score",
        about="""Score every surviving document: a larger score is better. Writes scores/NAME/; `select` decides by it.

color trains a prior on a sample and a conditional on the target, and scores by the difference of their losses: a
minute of training, then about 6 MB of text a minute and worker (width 64; at 128 half of that). Give --workers.
pair and perplexity take models that are there already (proxies/color/prior.safetensors is one), and so do rds and
transport, which compare embeddings. dsir and zipfit need no model.""",
        example="gristmill score color --target law --workspace W",
        settings="....proxy_models.settings:ScoreSettings",
        run=".stage:score",
        after=("balance",),
        reads=("documents",),
        writes=("proxies/", "scores/"),
        many=True,
        check=".checks:check",
        options=".options:ScoreOptions",
        gather=".options:gather",
        replay=(("scores/", ".again:score_again"),),
    ),
)
