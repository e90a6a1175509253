"""The record of the stage `select`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="select",
        about="""Keep the documents that a score puts first, within a budget. Reads scores/, writes decisions/select/.

Nothing is taken twice, and a budget beyond what there is is refused. A document without a score is dropped.""",
        example="gristmill select --by color --share 1/8 --workspace W",
        settings=".settings:SelectSettings",
        run=".stage:select",
        after=("score",),
        reads=("scores/",),
        writes=("decisions/select",),
        decides=True,
        check=".checks:check",
    ),
)
