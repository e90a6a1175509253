"""The record of the stage `lengths`: all that gristmill needs to know before the stage runs."""

from gristmill.pipelines.engine.record import StageRecord

RECORD = StageRecord(
    name="lengths",
    about="Measure how long every surviving document is, in characters and bytes.\n\nWrites lengths/.",
    example="gristmill lengths --workspace W --strip",
    settings=".settings:LengthsSettings",
    run=".stage:LENGTHS",
    after=("dedup",),
    reads=("documents",),
    writes=("lengths",),
)
