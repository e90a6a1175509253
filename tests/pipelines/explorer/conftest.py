"""A small workspace made by hand, with every kind of fate, and the explorer over it. The cache is the test's own."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.corpus.store import schema
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import Rule, RuleSet, compiled
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.explorer.server import Explorer
from gristmill.pipelines.stages.filter.settings import DecideSettings

COUNT = 120
FAMILY = "gopher@paper"
HOSTILE = (
    "</pre></main><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "<svg onload=\"document.title='taken'\"><a href=\"javascript:document.title='taken'\">go</a> \u202egnp.exe ${title}"
)
RULES = RuleSet(
    name="few",
    rules=(
        Rule(rule="min_words", value="gopher@paper.word_count", threshold=50, keep="value >= threshold"),
        Rule(
            rule="long_words",
            value="gopher@paper.mean_word_length",
            threshold={"default": 8, "de": 10},
            keep="value <= threshold",
        ),
        Rule(rule="alpha", value="gopher@paper.alpha_words", threshold=0.5, keep="value >= threshold"),
    ),
)


def name_of(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def rows_of_documents(draw: random.Random) -> list[dict]:
    rows = []
    for number in range(COUNT):
        text = " ".join(
            draw.choice("the mill of grain and stone by water".split()) for _ in range(draw.randint(20, 90))
        )
        rows.append(
            {
                "id": name_of(number),
                "text": f"{text} mail me@example.org" if number % 10 == 0 else text,
                "url": f"https://h{number % 7}.example/{number}",
                "host": f"h{number % 7}.example",
                "source": "crawl",
                "domain": ("web", "books", "code")[number % 3],
                "title": HOSTILE if number % 5 == 0 else f"Page {number}",
                "language": ("en", "de", None)[number % 4 % 3],
                "origin": {"path": "crawl.warc.gz", "offset": number, "file": "f"},
            }
        )
    rows[1]["text"] = HOSTILE + rows[1]["text"]
    rows[4]["text"] = rows[3]["text"] + " again"
    return rows


def rows_of_signals(draw: random.Random) -> list[dict]:
    kinds = {field.name: None for field in FAMILIES[FAMILY].type}
    return [
        {
            "id": name_of(number),
            FAMILY: kinds
            | {
                "word_count": draw.choice((None, *range(30, 120))),
                "mean_word_length": draw.uniform(3, 12),
                "alpha_words": draw.random(),
            },
        }
        for number in range(COUNT)
    ]


def small_workspace(folder: Path, rules: RuleSet = RULES) -> Workspace:
    """folder/w: 120 documents in two shards, filtered; then two clusters of duplicates; then cuts in what is left."""
    draw = random.Random(7)
    space = Workspace(str(folder / "w"))
    documents, signals = rows_of_documents(draw), rows_of_signals(draw)

    def halves(rows: list[dict]) -> dict[str, list[dict]]:
        first = {name_of(number) for number in range(COUNT // 2)}
        return {
            "a.parquet": [r for r in rows if r["id"] in first],
            "b.parquet": [r for r in rows if r["id"] not in first],
        }

    put_table(space, "documents", schema.DOCUMENTS, halves(documents), stage="extract")
    put_table(space, f"signals/{FAMILY}", FAMILIES[FAMILY].schema, halves(signals))
    plain = pa.table(
        {
            "id": [row["id"] for row in documents],
            "language": pa.array([row["language"] for row in documents], pa.string()),
            FAMILY: pa.array([row[FAMILY] for row in signals], FAMILIES[FAMILY].type),
        }
    )
    decided = compiled(rules)[0].decide(plain, "filter").drop_columns(["failing"]).to_pylist()
    settings = DecideSettings(rules=rules).model_dump(mode="json")
    put_table(space, "decisions/filter", schema.DECISIONS, halves(decided), settings=settings,
              inputs=inputs(space, "filter", before=()))  # fmt: skip
    kept = [row["id"] for row in decided if row["kept"]]
    clusters = (kept[:4], kept[4:6])
    duplicates, fates = [], []
    for members in clusters:
        for place, one in enumerate(members):
            duplicates.append(
                {
                    "id": one,
                    "cluster": min(members),
                    "cluster_size": len(members),
                    "survivor": place == 0,
                    "duplicate_of": members[0] if place else None,
                    "match": members[place - 1],
                    "jaccard": 0.9,
                    "method": "minhash",
                    "scope": "global",
                }
            )
    gone = {row["id"]: row["duplicate_of"] for row in duplicates if not row["survivor"]}
    for one in kept:
        fell = one in gone
        fates.append(
            {"id": one, "kept": not fell, "stage": "dedup", "rule": "minhash" if fell else None,
             "value": 0.9 if fell else None, "threshold": 0.8 if fell else None, "duplicate_of": gone.get(one)}
        )  # fmt: skip
    chain = inputs(space, "dedup", before=("filter",))
    put_table(
        space, "duplicates", schema.DUPLICATES, halves(duplicates), stage="dedup", inputs=chain, after=("filter",)
    )
    edits = []
    for row in documents:
        if row["id"] in kept and row["id"] not in gone:
            edits.append(
                {"id": row["id"], "text": row["text"][10:], "removed": [{"start": 0, "end": 10, "rule": "lines"}]}
            )
    put_table(space, "edits/dedup", schema.EDITS, halves(edits), stage="dedup", inputs=chain, after=("filter",))
    put_table(space, "decisions/dedup", schema.DECISIONS, halves(fates), stage="dedup", inputs=chain, after=("filter",))
    return space


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """The cache folder of one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Explorer]:
    """The explorer of a small workspace, for the tests of one file; not to be written to."""
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        shown = Explorer(small_workspace(folder))
        shown.source()
        yield shown
