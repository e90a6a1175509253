"""Claim: `select` takes the best of 50 million scores on one worker in less than 2 GB.

    python -m benchmarks.select_memory [--documents 50000000] [--folder SCRATCH]

Documents without text, a hundred thousand a shard, with scores that follow from their numbers (every thirtieth has the
same one) and sizes in tokens. A process of its own selects a tenth of the tokens; printed are its peak memory, CPU
seconds, and what was kept, which is held against a sort of all scores in this process where there are at most ten
million.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
MOST_BYTES, PER_SHARD, SORTED = 2 << 30, 100_000, 10_000_000


def scores_of(numbers: np.ndarray) -> np.ndarray:
    """(N,) scores: a scramble of the numbers, with ties."""
    mixed = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
    return np.where(numbers % 30 == 0, 0.5, mixed.astype(np.float64) / 2.0**53)


def sizes_of(numbers: np.ndarray) -> np.ndarray:
    return 100 + (numbers * 7919) % 901


def make(folder: str, count: int) -> None:
    """documents/ and scores/made/ of a workspace."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from gristmill.corpus.store.commits import Commit, Made, TableRecord, total
    from gristmill.corpus.store.schema import DOCUMENTS
    from gristmill.corpus.store.shards import open_shard
    from gristmill.corpus.store.workspace import Workspace

    space = Workspace(folder)
    kind = pa.schema([("id", pa.string()), ("score", pa.float64()), ("n_tokens", pa.int64())])
    documents, scores, work = [], [], {}
    for begin in range(0, count, PER_SHARD):
        numbers = np.arange(begin, min(count, begin + PER_SHARD))
        name = f"made-{begin // PER_SHARD:06d}.parquet"
        ids = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 32, "0")
        columns = {"id": ids, "text": pa.repeat("", len(ids)), "source": pa.repeat("s", len(ids)),
                   "domain": pa.repeat("d", len(ids))}  # fmt: skip
        arrays = [columns.get(field.name, pa.nulls(len(ids), field.type)) for field in DOCUMENTS]
        with open_shard(space.table("documents").url, name, DOCUMENTS) as out:
            out.write_batch(pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS))
            out.counts |= {"in": len(ids), "kept": len(ids)}
        documents.append(out.shard)
        with open_shard(space.table("scores/made").url, name, kind) as out:
            rows = [ids, pa.array(scores_of(numbers)), pa.array(sizes_of(numbers))]
            out.write_batch(pa.RecordBatch.from_arrays(rows, schema=kind))
            out.counts |= {"documents": len(ids), "tokens": int(sizes_of(numbers).sum())}
        scores.append(out.shard)
        work[name] = Made("made", {f"documents/{name}": documents[-1].content})
    for stage, table, shards, own in (
        ("extract", "documents", documents, {}),
        ("scores/made", "scores/made", scores, work),
    ):
        record = TableRecord(settings={}, shards=tuple(shards), counts=total(shards))
        space.put_commit(
            Commit(
                stage=stage, command=stage.split("/")[0], version=1, generation=1, previous="",
                tables={table: record}, inputs={}, work=own,
            )
        )  # fmt: skip


def select(folder: str) -> dict:
    """Select in this process."""
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.engine.stage import run_stage
    from gristmill.pipelines.stages.select.stage import SelectSettings
    from gristmill.pipelines.stages.select.stage import select as stage

    began = time.monotonic()
    summary = run_stage(stage, Workspace(folder), SelectSettings(by=("made",), share=0.1), RunnerOptions(), quiet=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "bytes": used.ru_maxrss * 1024,
        "cpu": used.ru_utime + used.ru_stime,
        "seconds": time.monotonic() - began,
        "kept": summary["tables"]["decisions/select"]["kept"],
        "selected": summary["details"]["selected"],
    }


def by_sorting(count: int) -> tuple[int, int]:
    """(documents, tokens) of the selection by a sort of all scores."""
    from gristmill.proxy_models.scoring.selection import prefix, ranking

    numbers = np.arange(count)
    ids = [f"{number:032d}/0" for number in range(count)]
    sizes = sizes_of(numbers).astype(np.float64)
    chosen = prefix(ranking(scores_of(numbers), ids, 0), sizes, 0.1 * sizes.sum())
    return len(chosen), int(sizes[chosen].sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=50_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--select", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.select:
        sys.stdout.write(json.dumps(select(asked.select)))
        return 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        make(f"{scratch}/w", asked.documents)
        command = [sys.executable, "-m", "benchmarks.select_memory", "--select", f"{scratch}/w"]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    text = (
        f"{asked.documents:,} scores: {found['bytes'] / 2**20:,.0f} MB, {found['cpu']:.0f} CPU s, "
        f"{found['seconds']:.0f} s; kept {found['kept']:,} documents of {found['selected']:,} tokens\n"
    )
    good = found["bytes"] <= MOST_BYTES
    if asked.documents <= SORTED:
        same = by_sorting(asked.documents) == (found["kept"], found["selected"])
        text += f"the same as by sorting everything: {same}\n"
        good &= same
    text += "ok\n" if good else "FAILED\n"
    sys.stdout.write(text)
    (RESULTS / "select_memory.txt").write_text(text)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
