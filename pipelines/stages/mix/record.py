"""The record of the stage `mix`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="mix",
        about="""Find the mixture of domains that trains the best model, by proxies.

Trains a swarm of small models on different mixtures, fits each held-out domain's loss, optimises the target under
the epoch cap, trains the result again beside the natural and the uniform mixture, and writes mixture/recipe.yaml.
Compared are also UniMax, temperature sampling, DoReMi's rule, the swarm's best, and mixtures of your own; and with
--validate doremi or --validate ado what these policies find while a proxy of their own trains.""",
        example="gristmill mix --workspace W --target books=2 --target web=1 --rounds 2 --validate unimax",
        settings=".settings:MixSettings",
        run=".stage:mix",
        after=("ladder",),
        reads=("tokens/",),
        writes=("mixture",),
        check=".checks:check",
        options=".options:MixOptions",
        gather=".options:gather",
        show=".command:lines",
        more=(
            ("fit", "...commands.mix_fit:fit"),
            ("law", "...commands.mix_laws:law"),
            ("spend", "...commands.mix_laws:spend"),
            ("plan", "...commands.mix_plan:plan"),
        ),
        replay=(),
    ),
    StageRecord(
        name="ladder",
        about="""Train the same mixtures at several model sizes and say how far their order carries over.

Writes mixture/ladder/. Rank correlation and the share of pairs in the same order, from each size to the next.""",
        example="gristmill mix ladder --workspace W --widths 32,64 --mixtures 6",
        settings=".settings:LadderSettings",
        run=".ladder:ladder",
        after=("tokenize",),
        reads=("tokens/",),
        writes=("mixture/ladder",),
        command="mix ladder",
        options=".options:LadderOptions",
        gather=".options:ladder_gather",
        show=".command:ladder_lines",
        replay=(),
    ),
)
