"""Claim: a workspace of a million shards plans, resumes and answers `status` within two minutes and 2 GB each.

    python -m benchmarks.million_shards [--shards 1000000] [--folder SCRATCH]

The workspace is metadata only: empty files with commits that list them. A stage that maps documents that a filter
decided on is planned where nothing of it is done, where all is done, and where all but ten shards are (resumed: the ten
run, and the next generation is committed, of which the bytes put are counted); `gristmill status` looks at the whole
chain. Each step is a process of its own with one worker; wall-clock seconds, CPU seconds and peak memory are printed.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
MOST_SECONDS, MOST_BYTES, LEFT = 120.0, 2 << 30, 10


BEGAN = time.monotonic()


def used() -> dict:
    """What this process has taken until now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": time.monotonic() - BEGAN, "cpu": time.process_time(), "bytes": peak}


def name_of(number: int) -> str:
    return f"crawl-{number:012x}.parquet"


def make(folder: str, count: int) -> None:
    """documents/ and decisions/filter/ of empty files, and their commits."""
    import hashlib

    from gristmill.corpus.store.commits import Commit, Made, TableRecord, total
    from gristmill.corpus.store.lists.shards import ShardList
    from gristmill.corpus.store.lists.work import WorkBuilder
    from gristmill.corpus.store.shards import Shard
    from gristmill.corpus.store.workspace import Workspace

    space = Workspace(folder)
    space.create()

    def shards_of(table: str):
        os.makedirs(f"{folder}/{table}")
        home = os.open(f"{folder}/{table}", os.O_RDONLY)
        counts = {"in": 5, "kept": 4, "dropped": 1, "failed": 0} if table != "documents" else {"in": 5, "kept": 5}
        for number in range(count):
            digest = hashlib.blake2b(f"{table}{number}".encode(), digest_size=16).hexdigest()
            file = name_of(number).replace(".parquet", f".{digest[:16]}.parquet")
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=home))
            yield Shard(name_of(number), file, 5, 0, digest, digest, counts, name_of(number))

    before: list[tuple[str, ShardList]] = []
    for stage, table, after in (("extract", "documents", ()), ("filter", "decisions/filter", ())):
        shards = ShardList.of(shards_of(table))
        work = WorkBuilder()
        contents = [own.columns(["content"]) for _, own in before]
        for number in range(count):
            made_from = {f"{t}/{name_of(number)}": next(c)[0].hex() for (t, _), c in zip(before, contents, strict=True)}
            work.add(name_of(number), Made(f"{number:032x}", made_from))
        record = TableRecord(settings={}, shards=shards, counts=total(shards))
        space.put_commit(
            Commit(
                stage=stage, command=stage, version=1, generation=1, previous="", tables={table: record},
                inputs={}, work=work.done(), after=after,
            )
        )  # fmt: skip
        before.append((table, shards))


def stage_of():
    """A stage that maps what the filter kept, without reading it."""
    from pydantic import BaseModel

    from gristmill.corpus.store.fate import sources
    from gristmill.pipelines.engine.graph import Work, commit, map_shards
    from gristmill.pipelines.engine.stage import Stage

    class Nothing(BaseModel, frozen=True):
        """No settings."""

    return Nothing, Stage(
        name="mapped",
        version=1,
        tables=("mapped",),
        inputs=lambda workspace, settings: {},
        graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, process), plan),
        items=lambda plan: (Work.of(source) for source in sources(plan.workspace, "mapped").values()),
    )


def process(plan, work):
    with plan.file("mapped", work.name) as out:
        open(out.path, "wb").close()
    yield "mapped", out.shard


def step(folder: str, what: str) -> dict:
    """One step in this process."""
    from gristmill.corpus.store.commits import Commit, TableRecord, total
    from gristmill.corpus.store.lists.shards import ShardList
    from gristmill.corpus.store.lists.work import WorkBuilder
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.pipelines.engine import stage as engine
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.status import status_of

    space = Workspace(folder)
    kind, mapped = stage_of()
    if what == "status":
        states = {one["command"]: one["state"] for one in status_of(space)["stages"]}
        assert states["extract"] == states["filter"] == "done", states
        return {"told": f"filter {states['filter']}"}
    if what == "resume":
        before = {entry.name for entry in os.scandir(f"{folder}/commits/parts")}
        summary = engine.run_stage(mapped, space, kind(), RunnerOptions(), quiet=True)
        assert not summary["skipped"]
        new = [e for e in os.scandir(f"{folder}/commits/parts") if e.name not in before]
        documents = space.table("documents").finished("resuming").shards
        assert len(space.table("mapped").finished("resuming").shards) == len(documents)
        return {"told": f"{sum(e.stat().st_size for e in new):,} bytes of parts put"}
    plan = engine._plan(mapped, space, kind())
    parts, items = engine._parts(mapped, plan, kind(), False)
    if what == "plan":
        assert len(items) == len(parts[0].made)
        spent = used()
        # put what it will make, but the last ten, in force: the next steps find it done
        documents = space.table("documents").finished("test").record.shards
        os.makedirs(f"{folder}/mapped")
        done = ShardList.of_table(documents.table.slice(0, documents.length - LEFT))
        for (file,) in done.columns(["file"]):
            os.close(os.open(f"{folder}/mapped/{file}", os.O_CREAT | os.O_WRONLY))
        record = TableRecord(settings=plan.recorded, shards=done, counts=total(done))
        work = WorkBuilder()
        for name, made in itertools.islice(parts[0].made.items(), len(done)):
            work.add(name, made)
        space.put_commit(
            Commit(stage="mapped", command="mapped", version=1, generation=1, previous="", tables={"mapped": record},
                   inputs={}, work=work.done())
        )  # fmt: skip
        return {"told": f"{len(items):,} to do", **spent}
    assert what == "plan again"
    return {"told": f"{len(items):,} to do"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        found = make(asked.step[0], asked.shards) if asked.step[1] == "make" else step(*asked.step)
        sys.stdout.write(json.dumps({**used(), **(found or {})}))
        return 0
    lines, good = [], True
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for what in ("make", "plan", "plan again", "resume", "plan again", "status"):
            command = [sys.executable, "-m", "benchmarks.million_shards", "--shards", str(asked.shards)]
            done = subprocess.run(
                [*command, "--step", f"{scratch}/w", what], check=True, stdout=subprocess.PIPE, text=True
            )
            found = json.loads(done.stdout)
            within = what == "make" or (found["seconds"] <= MOST_SECONDS and found["bytes"] <= MOST_BYTES)
            good &= within
            lines.append(
                f"{asked.shards:,} shards: {what}: {found['seconds']:.1f} s ({found['cpu']:.1f} CPU), "
                f"{found['bytes'] / 2**20:,.0f} MB{': ' + found['told'] if 'told' in found else ''}"
                f"{'' if within else '  OVER'}"
            )
            sys.stderr.write(lines[-1] + "\n")
    text = "\n".join([*lines, "ok" if good else "FAILED"]) + "\n"
    sys.stdout.write(text)
    (RESULTS / "million_shards.txt").write_text(text)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
