"""The record of the stage `write`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="write",
        about="""Write the documents that are kept to files, with all columns that their rows came with.

Rows are those that came in, in their own columns and types; the text is as the stages left it, and one that no stage
changed is the text that came. Rows of other schemas go to other files; in JSON they share one. Documents of crawls have
the columns of documents/. A second call writes what changed since, and removes files that it wrote and that are gone.

hf is a folder that datasets.load_dataset opens: Parquet files and a dataset card.""",
        example="gristmill write out --workspace W --format parquet",
        settings=".settings:WriteSettings",
        run=".stage:run_write",
        after=("extract", "filter", "dedup", "semantic", "tag", "balance", "select", "rewrite"),
        reads=("documents", "columns/", "decisions/", "edits/"),
        writes=("written/",),
        check=".checks:check",
        replay=(),
    ),
)
