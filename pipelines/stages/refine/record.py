"""The record of the stage `refine`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="refine",
        about="""Refine each surviving document by a small program: furniture goes, characters are repaired.

Writes edits/refine/ (new text and what was cut), programs/ and decisions/refine/. The text of documents/ stays.
The rules are the default and need no model; --by engine asks a language model for the programs.""",
        example="gristmill refine --workspace W --dry-run 3",
        settings=".settings:RefineSettings",
        run=".stage:REFINE",
        after=("filter",),
        reads=("documents",),
        writes=("edits/refine", "programs", "decisions/refine"),
        decides=True,
        check=".checks:check",
        options=".options:RefineOptions",
        gather=".options:gather",
        act=".command:act",
    ),
)
