"""Growth of a deduplicated corpus by 0.1 %: CPU seconds against doing all of it, start-up taken off both.

The documents are those of `dedup_scale`. Four changes, one after the other: new documents without an old duplicate; new
documents that displace survivors (copies with an earlier date); the same shard taken out again; and, as a check, all of
it from scratch, whose decisions must be the same. Each run is a process of its own with one worker. What is held: a
change costs at most a tenth of doing it all.

Usage: python -m benchmarks.dedup_growth [--documents 1000000] [--folder SCRATCH]
"""

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def child(folder: str) -> None:
    """Deduplicate a workspace and print the counts."""
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate

    summary = deduplicate(Workspace(folder), DedupSettings(preset="fineweb"), RunnerOptions(), quiet=True)
    print(json.dumps(summary["tables"]["decisions/dedup"]))


def measured(folder: Path) -> tuple[float, dict[str, int]]:
    """CPU seconds of a run, and its counts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.dedup_growth", "--child", str(folder)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, json.loads(done.stdout.strip().splitlines()[-1])


def replace_shard(folder: Path, part: str, rows: list[dict]) -> None:
    """Add a shard of documents/, or take it out where there are no rows."""
    from gristmill.corpus.store.commits import Made, total
    from gristmill.corpus.store.schema import DOCUMENTS
    from gristmill.corpus.store.shards import open_shard
    from gristmill.corpus.store.workspace import Workspace

    workspace = Workspace(str(folder))
    held = workspace.commit_of("extract")
    assert held is not None
    shards = {shard.name: shard for shard in held.tables["documents"].shards if shard.name != part}
    if rows:
        blank = dict.fromkeys(DOCUMENTS.names) | {"source": "benchmark", "domain": "benchmark"}
        with open_shard(workspace.table("documents").url, part, DOCUMENTS) as out:
            out.write_rows({**blank, **row} for row in rows)
            out.counts.update({"in": len(rows), "kept": len(rows), "dropped": 0, "failed": 0})
        shards[part] = out.shard
    ordered = tuple(shards[name] for name in sorted(shards))
    table = held.tables["documents"].model_copy(update={"shards": ordered, "counts": total(ordered)})
    after = {
        "generation": held.generation + 1,
        "previous": held.fingerprint,
        "tables": {"documents": table},
        "work": {shard.name: Made(shard.content) for shard in ordered},
    }
    workspace.put_commit(held.model_copy(update=after))


def decided(folder: Path) -> dict[str, tuple[bool, str | None]]:
    from benchmarks._dedup_corpus import table_of

    rows = table_of(str(folder), "decisions/dedup", ["id", "kept", "duplicate_of"])
    return {row["id"]: (row["kept"], row["duplicate_of"]) for row in rows.to_pylist()}


def main() -> None:
    from benchmarks._dedup_corpus import name, write_workspace
    from benchmarks.dedup_scale import documents

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child)
        return
    count, few = asked.documents, asked.documents // 1000
    rng = random.Random(1)
    alone = [" ".join("".join(rng.choices(LETTERS, k=7)) for _ in range(400)) for _ in range(few)]
    copied = [row["text"] for row in itertools.islice(documents(count), 0, 7 * few, 7)]
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        tiny, grown, whole = (Path(scratch) / place for place in ("tiny", "grown", "whole"))
        write_workspace(str(tiny / "warm"), documents(50))
        measured(tiny / "warm")  # compiled code is cached
        write_workspace(str(tiny / "own"), documents(50))
        start, _ = measured(tiny / "own")
        write_workspace(str(grown), documents(count), per_shard=20_000)
        everything, told = measured(grown)
        everything -= start
        lines = [
            f"{count:,} documents: {everything:.1f} CPU s after {start:.1f} of start-up, {told['dropped']:,} dropped"
        ]
        displacing = [{"id": name(2_000_000_000 + i), "date": 0, "text": text} for i, text in enumerate(copied)]
        steps = [
            (
                "without old duplicates",
                "part-90001",
                [{"id": name(1_000_000_000 + i), "text": t} for i, t in enumerate(alone)],
            ),
            ("that displace survivors", "part-90002", displacing),
            ("taken out again", "part-90002", []),
        ]
        for what, part, rows in steps:
            replace_shard(grown, f"{part}.parquet", rows)
            used, told = measured(grown)
            used -= start
            lines.append(
                f"{few:,} documents {what}: {used:.2f} CPU s, {used / everything:.1%}; {told['dropped']:,} dropped"
            )
        write_workspace(str(whole), documents(count), per_shard=20_000)
        replace_shard(whole, "part-90001.parquet", steps[0][2])
        measured(whole)
        same = decided(grown) == decided(whole)
        lines.append(f"decisions equal to those from scratch: {same}")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    (RESULTS / "dedup_growth.txt").write_text(text)
    shares = [float(line.split(" CPU s, ")[1].split("%")[0]) for line in lines[1:4]]
    assert same
    assert max(shares) <= 10, shares


if __name__ == "__main__":
    main()
