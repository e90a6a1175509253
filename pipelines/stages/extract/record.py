"""The record of the stage `extract`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="extract",
        about="""Read crawls and files, extract their text, and add it to the documents of a workspace.

A second call adds new files and redoes none. Records that cannot be read or hold no text are in failures/.""",
        example="gristmill extract crawl/*.warc.gz --workspace W --source crawl",
        settings=".settings:ExtractSettings",
        run=".stage:run_extract",
        writes=("documents", "columns/", "inputs", "failures/extract"),
        check=".checks:check",
        options=".options:ExtractOptions",
        gather=".options:gather",
        act=".command:act",
        show=".command:lines",
        replay=(),
    ),
)
