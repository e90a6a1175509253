"""A million documents on two cores: wall time, CPU seconds, peak memory, and linear growth from 100 k to 1 M.

The documents are real paragraphs of GRISTMILL_DATA recombined at random, about 3 KB each; one in five is an edited
copy (1 % of its words) of another. The run is a process of its own with two workers; its memory is the sum over all
its processes, sampled every 0.1 s: proportional set size, which counts a page that several processes map once.

Usage: python -m benchmarks.dedup_scale [--documents 100000 300000 1000000] [--workers 2] [--folder SCRATCH]
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT = 4e9  # bytes over all processes
RESULTS = Path(__file__).parent / "results"


def documents(count: int, seed: int = 0) -> Iterator[dict]:
    """Recombined paragraphs; every fifth document is a copy of the one before with 1 % of its words replaced."""
    from benchmarks._dedup_corpus import edited, pieces

    rng = random.Random(seed)
    text = "\n".join(pieces())
    paragraphs = [line for line in text.split("\n") if 150 <= len(line) <= 900]
    vocabulary = text[:200_000].split()
    before = ""
    for number in range(count):
        if number % 5 == 4:
            yield {"text": edited(before, 0.01, rng, vocabulary)}
            continue
        parts, size = [], 0
        while size < 2900:
            parts.append(rng.choice(paragraphs))
            size += len(parts[-1])
        before = "\n".join(parts)
        yield {"text": before}


def child(folder: str, workers: int) -> None:
    """Deduplicate a workspace and print the counts."""
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate

    settings = DedupSettings(preset="fineweb")
    summary = deduplicate(Workspace(folder), settings, RunnerOptions(workers=workers), quiet=True)
    print(json.dumps({**summary["tables"]["decisions/dedup"], **summary["details"]}))


def watch(pid: int, peak: list[float], stop: threading.Event) -> None:
    """Keep the largest proportional set size of a process and its descendants."""
    import psutil

    while not stop.wait(0.1):
        total = 0
        try:
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                with open(f"/proc/{process.pid}/smaps_rollup") as lines:
                    total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (psutil.Error, OSError, StopIteration):
            continue
        peak[0] = max(peak[0], total)


def measure(count: int, workers: int, folder: Path) -> dict:
    from benchmarks._dedup_corpus import write_workspace

    place = folder / f"documents{count}"
    shutil.rmtree(place, ignore_errors=True)
    write_workspace(str(place), documents(count), per_shard=20_000)
    command = [sys.executable, "-m", "benchmarks.dedup_scale", "--child", str(place), "--workers", str(workers)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    peak, stop = [0.0], threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, peak, stop))
    watcher.start()
    out, _ = process.communicate()
    wall = time.monotonic() - began
    stop.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(place)
    found = json.loads(out.strip().splitlines()[-1])
    return {"documents": count, "wall": wall, "cpu": used, "peak_bytes": peak[0], **found}


def plot(rows: list[dict]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    x = [row["documents"] / 1e6 for row in rows]
    for axis, key, unit, scale in (
        (axes[0], "cpu", "CPU seconds", 1),
        (axes[1], "peak_bytes", "peak memory, GB", 1e-9),
    ):
        axis.plot(x, [row[key] * scale for row in rows], "o-")
        axis.set(xlabel="million documents", ylabel=unit, xlim=(0, None), ylim=(0, None))
    figure.tight_layout()
    figure.savefig(RESULTS / "dedup_scale.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.workers)
        return
    rows, lines = [], []
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for count in asked.documents:
            row = measure(count, asked.workers, Path(scratch))
            rows.append(row)
            lines.append(
                f"{count:>9,} documents: {row['wall']:.0f} s wall, {row['cpu']:.0f} CPU s "
                f"({count / row['cpu']:,.0f} documents per CPU s), peak {row['peak_bytes'] / 1e9:.2f} GB; "
                f"kept {row['kept']:,}, dropped {row['dropped']:,}, candidates {row['candidates']:,}, "
                f"refused {row['refused']:,}, estimated recall {row.get('estimated_recall')}"
            )
            print(lines[-1], flush=True)
            assert row["dropped"] >= count // 5 * 0.99
            assert row["peak_bytes"] < LIMIT, row["peak_bytes"]
    growth = rows[-1]["cpu"] / rows[0]["cpu"] / (rows[-1]["documents"] / rows[0]["documents"])
    lines.append(f"CPU grows {growth:.2f} x as fast as the documents ({asked.workers} workers)")
    print(lines[-1])
    (RESULTS / "dedup_scale.txt").write_text("\n".join(lines) + "\n")
    (RESULTS / "dedup_scale.json").write_text(json.dumps(rows, indent=1) + "\n")
    plot(rows)


if __name__ == "__main__":
    main()
