"""Copies on one side: near-duplicates of any script and length, across sources, unless dedup left none."""

import hashlib

import pytest

from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS, DOCUMENTS
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.tokenize.held_out import compared
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.training.data.shards import SPLITS, document_ids, domains

NOTHING = {"scope": "global", "minhash": True, "threshold": 0.8, "measure": "jaccard"}


@pytest.mark.parametrize(
    ("change", "enough"),
    [
        ({}, True),
        ({"threshold": 0.7}, True),
        ({"threshold": 0.95}, False),
        ({"measure": "containment"}, False),
        ({"minhash": False}, False),
        ({"scope": "source"}, False),
        ({"scope": "domain"}, False),
        ({"scope": "crawl"}, False),
    ],
)
def test_near_copies_are_looked_for_unless_dedup_left_none(tmp_path, change, enough):
    made = Workspace(str(tmp_path))
    made.create()
    assert not compared(made)
    put_table(made, "decisions/dedup", DECISIONS, {}, stage="dedup", settings=NOTHING | change)
    assert compared(made) is enough


BASE = [" ".join(hashlib.blake2b(f"{n} {w}".encode(), digest_size=3).hexdigest() for w in range(60)) for n in range(30)]
COPIES = {
    "the same text": lambda text: text,
    "other case and punctuation": lambda text: text.upper().replace(" ", "; "),
    "a line more": lambda text: text + "\nshare this page",
    "three words": lambda text: " ".join(text.split()[:3]),
    "one word": lambda text: text.split()[0],
    "letters without spaces": lambda text: "".join(chr(0x4E00 + int(word[:3], 16) % 5000) for word in text.split()),
    "signs of their own": lambda text: "".join(chr(0x1F300 + int(word[:2], 16)) for word in text.split()[:20]),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_in_another_source_and_domain_is_on_the_side_of_its_like(tmp_path, kind):
    made = Workspace(str(tmp_path))
    made.create()
    short = kind in ("three words", "one word", "letters without spaces", "signs of their own")
    rows = []
    for n, text in enumerate(BASE):
        for domain in ("a", "b"):
            own = COPIES[kind](text) if short or domain == "b" else text
            id = hashlib.blake2b(f"{n} {domain}".encode(), digest_size=16).hexdigest()
            rows.append({"id": id, "text": own, "source": domain, "domain": domain})
    rows.sort(key=lambda row: row["id"])
    put_table(made, "documents", DOCUMENTS, {"a.parquet": rows}, stage="extract")
    tokenize(made, TokenizeSettings(vocab_size=300, heldout=0.3), RunnerOptions(), quiet=True)
    side = {id: split for name in domains(made) for split in SPLITS
            for id in document_ids(made, name, split).to_pylist()}  # fmt: skip
    pairs = [[side[hashlib.blake2b(f"{n} {d}".encode(), digest_size=16).hexdigest()] for d in "ab"] for n in range(30)]
    assert set(map(len, map(set, pairs))) == {1}
    assert {pair[0] for pair in pairs} == set(SPLITS)
