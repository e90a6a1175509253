"""The record of the stage `refilter`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="refilter",
        about="""Filter again what dedup left, by other rules: precision, where filter was for recall.

Signals are measured on the surviving documents alone, on their texts as they are by then, and kept in refiltered/;
other thresholds decide from there. Writes decisions/refilter/. Runs after dedup and semantic, before tag.""",
        example="gristmill refilter --rules precise.yaml --classifier math=math.bin --workspace W",
        settings=".settings:RefilterSettings",
        run=".stage:refilter",
        after=("semantic",),
        reads=("documents",),
        writes=("refiltered", "decisions/refilter"),
        decides=True,
        check=".checks:check",
        replay=(("decisions/refilter", ".again:decide"),),
    ),
)
