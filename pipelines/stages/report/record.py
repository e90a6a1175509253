"""The record of the stage `report`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="report",
        about="""Write one self-contained HTML page on a workspace.

The last section of a settings file: what the stages before it made, with the reasons of what was dropped.""",
        example="gristmill report --workspace W",
        settings="...report.settings:ReportSettings",
        run=".stage:run_report",
        after=("export",),
        command=None,
        replay=(),
    ),
)
