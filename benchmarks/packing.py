"""Claim: many small files become few shards, planned in a minute of CPU and a gigabyte, whatever way they are named.

    python -m benchmarks.packing [--files 100000] [--bytes 3000]

HTML files are named as a folder, a glob, a list file, and one by one (each a source of its own). For each way a process
of its own resolves them, plans the shards, stamps the work and writes the ledger, then plans the same call again.
Prints shards, CPU seconds and peak memory of both together, and how many inputs each plan opened. Fails beyond 20
shards (for up to 100,000 files), 60 CPU seconds or 1 GB, and where the second plan opens a file.
"""

import argparse
import builtins
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gristmill.corpus.planning.ledger import write_ledger
from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.stage import Plan
from gristmill.pipelines.stages.extract.planned import planned, tasks
from gristmill.pipelines.stages.extract.stage import ExtractSettings

MOST_SHARDS, MOST_SECONDS, MOST_BYTES = 20, 60.0, 1 << 30
WAYS = ("folder", "glob", "list", "one by one")


def write_files(folder: Path, count: int, size: int) -> None:
    """`count` pages of `size` bytes in folders of 1,000, and their list."""
    names = []
    for n in range(count):
        place = folder / "in" / f"{n // 1000:04d}"
        if n % 1000 == 0:
            place.mkdir(parents=True)
        body = f"<html><body><p>{n} ".encode()
        (place / f"{n:07d}.html").write_bytes(body + b"a word " * ((size - len(body)) // 7))
        names.append(f"in/{n // 1000:04d}/{n:07d}.html")
    (folder / "all.paths").write_text("\n".join(names) + "\n")
    for place in (folder / "in").rglob("*.html"):
        os.utime(place, (1_700_000_000.5, 1_700_000_000.5))  # so that their times may be relied on


def inputs(folder: Path, way: str) -> tuple[Input, ...]:
    """The call that names the files in this way."""
    if way == "one by one":
        names = (folder / "all.paths").read_text().split()
        return (Input(paths=tuple(str(folder / name) for name in names)),)
    named = {"folder": "in", "glob": "in/*/*.html", "list": "all.paths"}[way]
    return (Input(paths=(str(folder / named),)),)


def plan_twice(folder: Path, way: str) -> dict[str, float]:
    """Plan the call in this process, and again."""
    space = Workspace(str(folder / f"workspace {way}"))
    space.create()
    settings = ExtractSettings(inputs=inputs(folder, way))
    opened: list[str] = []
    real = builtins.open

    def counting(file, *more, **named):
        opened.append(str(file))
        return real(file, *more, **named)

    builtins.open = counting
    began = time.process_time()
    first = planned(space, settings)
    items = tasks(Plan("extract", 1, space, settings, {}, {}), first.ledger)
    write_ledger(space, first.ledger)
    before = sum(name.endswith(".html") for name in opened)
    second = planned(space, settings)
    assert second.ledger == first.ledger
    return {
        "shards": len(items),
        "seconds": time.process_time() - began,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "opened": before,
        "again": sum(name.endswith(".html") for name in opened) - before,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=3000)
    parser.add_argument("--plan", nargs=2, metavar=("FOLDER", "WAY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        sys.stdout.write(json.dumps(plan_twice(Path(asked.plan[0]), asked.plan[1])))
        return 0
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), asked.files, asked.bytes)
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.packing", "--plan", folder, way]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            failed |= found["shards"] > MOST_SHARDS and asked.files <= 100_000
            failed |= found["seconds"] > MOST_SECONDS or found["bytes"] > MOST_BYTES or found["again"] > 0
            failed |= found["opened"] < asked.files  # or the count counts nothing
            sys.stdout.write(
                f"{way:>10}: {asked.files:,} files of {asked.bytes:,} bytes: {found['shards']} shards, "
                f"{found['seconds']:.1f} CPU s, {found['bytes'] / 2**20:,.0f} MB, {found['opened']:,} opened, "
                f"{found['again']} again\n"
            )
            sys.stdout.flush()
    sys.stdout.write("FAILED\n" if failed else "ok\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
