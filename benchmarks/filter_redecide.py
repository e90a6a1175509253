"""Claim: a million documents are decided anew from stored signals in under 10 s on 2 cores.

    python benchmarks/filter_redecide.py [--documents 1000000]

A workspace of documents of 1 to 40 words, drawn from a fixed seed, is written to a temporary folder and filtered once,
which measures Gopher's signals; then the filter stage decides six times by changed rules, with one worker process (the
default) and with two, which pay for their start. The decided counts are asserted against numpy. The trivial baseline is
one DuckDB query over the same Parquet files that only counts.
"""

import argparse
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from gristmill.corpus.store.made import put_shards
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter

FAMILY = FAMILIES["gopher@paper"]
MOST_WORDS = 40


def write(workspace: Workspace, documents: int, shards: int) -> np.ndarray:
    """Documents of random lengths; returns their words."""
    random = np.random.default_rng(0)
    vocabulary = np.array([f"word{n}" for n in range(5000)])
    rows, made, counts = documents // shards, [], []
    for number in range(shards):
        words = random.integers(1, MOST_WORDS + 1, rows)
        drawn = vocabulary[random.integers(0, len(vocabulary), int(words.sum()))]
        ends = np.cumsum(words)
        texts = [" ".join(drawn[end - count : end]) for end, count in zip(ends, words, strict=True)]
        columns = {"id": [f"{number * rows + n:032x}" for n in range(rows)], "text": texts,
                   "source": ["made"] * rows, "domain": ["made"] * rows}  # fmt: skip
        arrays = [pa.array(columns.get(field.name, [None] * rows), field.type) for field in DOCUMENTS]
        with open_shard(workspace.table("documents").url, f"part-{number:05d}.parquet", DOCUMENTS) as out:
            out.write_batch(pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS))
        made.append(out.shard)
        counts.append(words)
    put_shards(workspace, "documents", made, stage="extract")
    return np.concatenate(counts)


def write_rules(path: Path, least: int) -> tuple[Path, int]:
    """A rule set of as many rules as the family has columns to bound from above, and how many those are."""
    rules = [{"rule": "words", "value": "gopher@paper.word_count", "threshold": least, "keep": "value >= threshold"}]
    names = [field.name for field in FAMILY.type if field.name not in ("word_count", "stop_words")]
    rules += [{"rule": f"max_{name}", "value": f"gopher@paper.{name}", "threshold": 1e9, "keep": "value <= threshold"}
              for name in names]  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "mine", "rules": rules}))
    return path, len(rules)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(f"{folder}/w")
        words = write(workspace, asked.documents, 20)

        def decide(least: int, workers: int) -> tuple[float, int]:
            """(seconds, rules) of deciding by rules that ask for so many words."""
            path, rules = write_rules(Path(folder) / f"rules{least}.yaml", least)
            began = time.perf_counter()
            options = RunnerOptions(workers=workers)
            summary = run_filter(workspace, FilterSettings(rules=str(path)), options, quiet=True)
            taken = time.perf_counter() - began
            counts = summary["tables"]["decisions/filter"]
            assert (counts["kept"], counts["dropped"]) == ((words >= least).sum(), (words < least).sum()), counts
            return taken, rules

        measuring, rules = decide(2, 1)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for least, workers in ((8, 1), (5, 2), (6, 1), (7, 2), (9, 1), (4, 2)):
            seconds[workers].append(decide(least, workers)[0])
        files = f"{workspace.url}/signals/{FAMILY.name}/*.parquet"
        began = time.perf_counter()
        query = f"select count(*) from read_parquet('{files}') where \"{FAMILY.name}\".word_count >= 8"
        counted = duckdb.connect(config={"threads": "2"}).execute(query).fetchall()[0][0]
        counting = time.perf_counter() - began
        assert counted == int((words >= 8).sum())
        print(f"documents: {len(words):,} in 20 shards, {rules} rules, 2 cores; measured once in {measuring:.0f} s")
        for workers, times in seconds.items():
            runs = ", ".join(f"{taken:.1f}" for taken in times)
            print(f"decided anew with --workers {workers} in {np.median(times):.1f} s (runs: {runs})")
        print(f"one DuckDB query that only counts one rule: {counting:.2f} s")


if __name__ == "__main__":
    main()
