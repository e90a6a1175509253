"""The record of the stage `tokenize`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="tokenize",
        about="""Train a tokenizer and cut the surviving documents into Arrow token shards, one table per domain.

Writes tokenizer/tokenizer.json, groups/ (documents that are held out together) and tokens/<domain>/, each with a train
and a held-out split.""",
        example="gristmill tokenize --workspace W --vocab-size 8192",
        settings=".settings:TokenizeSettings",
        run=".stage:tokenize",
        after=("rewrite",),
        reads=("documents",),
        writes=("tokenizer", "groups", "tokens/"),
        check=".checks:check",
    ),
)
