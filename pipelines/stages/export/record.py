"""The record of the stage `export`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="export",
        about="""Write the recipe in the forms of trainers, with their data.

A section of settings files: a list, one entry a trainer. On the command line: gristmill recipe export.""",
        example="gristmill recipe export W/mixture/recipe.yaml --to megatron --output OUT",
        settings=".settings:ExportSettings",
        run=".stage:run_export",
        after=("train",),
        reads=("mixture", "tokens/"),
        many=True,
        command=None,
        check=".checks:check",
        replay=(),
    ),
)
