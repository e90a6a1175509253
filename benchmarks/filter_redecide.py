"""Claim: a million documents are decided anew from stored signals in under 10 s on 2 cores.

    python benchmarks/filter_redecide.py [--documents 1000000]

A workspace of documents whose text is a stub and whose Gopher signals are drawn from a fixed seed is written to a
temporary folder; then the filter stage decides three times by changed rules, with one worker process (the default)
and with two, which pay for their start. The decided counts are asserted against numpy. The trivial baseline is one
DuckDB query over the same Parquet files that only counts.
"""

import argparse
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from gristmill.corpus.store.commits import Manifest
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import Shard, committed, open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter

FAMILY = FAMILIES["gopher@paper"]


def write(workspace: Workspace, documents: int, shards: int) -> np.ndarray:
    """Documents and signals; returns the word counts."""
    random = np.random.default_rng(0)
    kept: dict[str, list[Shard]] = {"documents": [], "signals": []}
    counts = []
    for number in range(shards):
        rows = documents // shards
        ids = pa.array([f"{number * rows + n:032x}" for n in range(rows)])
        texts = pa.array(["stub"] * rows)
        columns = {"id": ids, "text": texts, "source": texts, "domain": texts}
        full = [columns.get(field.name, pa.nulls(rows, field.type)) for field in DOCUMENTS]
        name = f"part-{number:05d}.parquet"
        words = random.integers(0, 400, rows)
        counts.append(words)
        fields = [pa.array(words if pa.types.is_integer(f.type) else random.random(rows) * 0.1) for f in FAMILY.type]
        struct = pa.StructArray.from_arrays([a.cast(f.type) for a, f in zip(fields, FAMILY.type, strict=True)],
                                            fields=list(FAMILY.type))  # fmt: skip
        for table, schema, arrays in (("documents", DOCUMENTS, full), ("signals", FAMILY.schema, [ids, struct])):
            place = workspace.table(table if table == "documents" else f"signals/{FAMILY.name}")
            with open_shard(place.shard_url(name), schema, "made") as out:
                out.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            shard = committed(place.shard_url(name), "made")
            assert shard is not None
            kept[table].append(shard)
    first = Manifest(table="documents", stage="extract", version=1, settings={}, inputs={},
                     shards=tuple(kept["documents"]), counts={})  # fmt: skip
    workspace.table("documents").write_manifest(first)
    settings = {"family": FAMILY.name, "version": FAMILY.version}
    second = Manifest(table=f"signals/{FAMILY.name}", stage="filter", version=1, settings=settings,
                      inputs={"documents": first.fingerprint}, shards=tuple(kept["signals"]), counts={})  # fmt: skip
    workspace.table(f"signals/{FAMILY.name}").write_manifest(second)
    return np.concatenate(counts)


def write_rules(path: Path, least: int) -> tuple[Path, int]:
    """A rule set of as many rules as the family has columns to bound from above, and how many those are."""
    rules = [{"rule": "words", "value": "gopher@paper.word_count", "threshold": least, "keep": "value >= threshold"}]
    names = [field.name for field in FAMILY.type if field.name not in ("word_count", "stop_words")]
    rules += [{"rule": f"max_{name}", "value": f"gopher@paper.{name}", "threshold": 0.2, "keep": "value <= threshold"}
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
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for least, workers in ((80, 1), (50, 2), (60, 1), (70, 2), (90, 1), (40, 2)):
            path, rules = write_rules(Path(folder) / f"rules{least}.yaml", least)
            began = time.perf_counter()
            options = RunnerOptions(workers=workers)
            summary = run_filter(workspace, FilterSettings(rules=str(path)), options, quiet=True)
            seconds[workers].append(time.perf_counter() - began)
            counts = summary["tables"]["decisions/filter"]
            assert counts == {"in": len(words), "kept": int((words >= least).sum()),
                              "dropped": int((words < least).sum()), "failed": 0}, counts  # fmt: skip
        files = f"{workspace.url}/signals/{FAMILY.name}/*.parquet"
        began = time.perf_counter()
        query = f"select count(*) from read_parquet('{files}') where \"{FAMILY.name}\".word_count >= 80"
        counted = duckdb.connect(config={"threads": "2"}).execute(query).fetchall()[0][0]
        counting = time.perf_counter() - began
        assert counted == int((words >= 80).sum())
        print(f"documents: {len(words):,} in 20 shards, {rules} rules, 2 cores")
        for workers, times in seconds.items():
            runs = ", ".join(f"{taken:.1f}" for taken in times)
            print(f"decided anew with --workers {workers} in {np.median(times):.1f} s (runs: {runs})")
        print(f"one DuckDB query that only counts one rule: {counting:.2f} s")


if __name__ == "__main__":
    main()
