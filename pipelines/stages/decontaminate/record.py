"""The record of the stage `decontaminate`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="decontaminate",
        about="""Find pieces of evaluation sets in the documents that the filter kept.

Reads documents/, writes decisions/decontaminate/ and contamination/, which tells the task, the example and the
place of every hit. Case and punctuation do not hide a copy, nor do a few changed words.

--audit MODEL writes contamination_audit/: whether each example was found, and how likely the model was trained on
it by Min-K%++, DC-PDD and zlib ratio (larger: likelier). `gristmill score color` leaves such a model in proxies/.""",
        example="gristmill decontaminate arc=arc_easy.jsonl boolq.jsonl --workspace W",
        settings=".settings:DecontaminateSettings",
        run=".stage:decontaminate",
        after=("refine",),
        reads=("documents",),
        writes=("contamination", "decisions/decontaminate", "edits/decontaminate"),
        decides=True,
        check=".checks:check",
        options=".options:ExposureOptions",
        act=".command:act",
        replay=(
            ("decisions/decontaminate", ".again:decide"),
            ("contamination_audit", ".again:expose"),
        ),
    ),
)
