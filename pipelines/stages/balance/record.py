"""The record of the stage `balance`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="balance",
        about="""Cap how many documents each host, topic, cluster or concept keeps; rare ones keep all of theirs.

Draws depend on the id alone. A document with several values stays if any of its draws passes. Writes
decisions/balance/ and concepts/: how many documents each value had, and has. With --concepts also matches/, from
which another cap decides without reading texts again. Runs after tag and before select.""",
        example="gristmill balance --by host --cap 1000 --workspace W",
        settings=".settings:BalanceSettings",
        run=".stage:run_balance",
        after=("tag",),
        reads=("documents", "tags"),
        writes=("matches", "concepts", "decisions/balance"),
        decides=True,
        check=".checks:check",
    ),
)
