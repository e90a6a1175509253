"""The record of the stage `dedup`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="dedup",
        about="""Find exact and near-duplicates and keep one document of each cluster.

Writes signatures/, shingles/ and bands/ (once for each shard of documents/), edges/ (what was compared: after growth
only what shares a bucket with new documents is compared again), duplicates/ and decisions/dedup/. Another
threshold or scope decides anew from the signatures and reads no text. --lines
and --substrings write edits/dedup/: the text that is left, and what was cut.""",
        example="gristmill dedup --workspace W --threshold 0.8 --against LAST_MONTH",
        settings="....dedup.settings:DedupSettings",
        run=".stage:deduplicate",
        after=("decontaminate",),
        reads=("documents",),
        writes=(
            "signatures",
            "shingles",
            "bands",
            "edges",
            "unexamined",
            "compared",
            "duplicates",
            "decisions/dedup",
            "edits/dedup",
        ),
        decides=True,
        check=".checks:check",
    ),
)
