"""A small workspace made by hand, with every kind of fate, and the explorer over it. The cache is the test's own."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.store import schema
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import Rule, RuleSet, compiled
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.explorer.server import Explorer
from gristmill.pipelines.stages.filter.settings import DecideSettings

from ..test_report import modelled
from .chromium import CHROMIUM, DRIVER, STILL, browser

COUNT = 120
FAMILY = "gopher@paper"
HOSTILE = (
    "</pre></main><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "<svg onload=\"document.title='taken'\"><a href=\"javascript:document.title='taken'\">go</a> \u202egnp.exe ${title}"
)
HOSTILE_JSON = json.dumps(HOSTILE)
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


def small_workspace(folder: Path | str, rules: RuleSet = RULES) -> Workspace:
    """folder/w (a folder or a URL): 120 documents in two shards, filtered; then two clusters of duplicates; then cuts
    in what is left."""
    draw = random.Random(7)
    space = Workspace(f"{folder}/w")
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


def full_workspace(folder: Path | str) -> Workspace:
    """The same with every table that a tab shows: a mixture with its swarm, a run with samples, and vectors."""
    space = modelled(small_workspace(folder))
    path = space.path("mixture", "swarm.parquet")
    if not space.is_local:
        return space
    first = pq.read_table(path).to_pylist()[0]
    names = sorted(first["losses"])
    runs = []
    for n in range(12):
        share = n / 11
        losses = {name: (3 - share if place == 0 else 2 + share) for place, name in enumerate(names)}
        weights = {names[0]: share, names[1]: 1 - share}
        runs.append(first | {"mixture": f"m{n}", "seed": 0, "losses": losses, "weights": weights, "alive": True})
    pq.write_table(pa.Table.from_pylist(runs), path)
    samples = Path(space.path("runs", "base", "samples.jsonl"))
    samples.write_text(f'{{"step": 4, "tokens": 4000, "place": 0, "prompt": "The <b>mill", "text": {HOSTILE_JSON}}}\n')
    put_vectors(space, np.random.default_rng(3).normal(5 * (np.arange(COUNT) % 2)[:, None], 1, (COUNT, 4)))
    return space


def put_vectors(space: Workspace, vectors: np.ndarray) -> None:
    """embeddings/ with a vector for each document."""
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), ("embedding", pa.list_(pa.float32()))])
    rows = [{"id": name_of(n), "embedding": vector} for n, vector in enumerate(vectors.tolist())]
    put_table(space, "embeddings", schema, {"a.parquet": rows}, stage="embed")


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[tuple[Workspace, str]]:
    """A workspace with every table that a tab shows, and the address of its explorer."""
    if CHROMIUM is None or DRIVER is None:
        if os.environ.get("CI"):
            pytest.fail("the packages chromium and chromium-driver are not installed")
        pytest.skip("Chromium and its driver are not installed")
    folder = tmp_path_factory.mktemp("browser")
    space = full_workspace(folder)
    command = [sys.executable, "-m", "gristmill.pipelines.cli", "explore", "--workspace", space.url]
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings) as server:
        assert server.stdout is not None
        try:
            yield space, server.stdout.readline().split()[-1].rpartition("/")[0] + "/"
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def driver(served):
    with browser() as one:
        one.set_window_size(1200, 1000)
        one.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [STILL]})
        yield one
