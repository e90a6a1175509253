"""What outlives a power cut: a commit never does without the files that it names, nor those without their bytes."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.shards import replacing
from gristmill.corpus.store.workspace import Workspace


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What reaches the disk, in order: ("sync", file or folder) and ("rename", target)."""
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def renamed(source: str, target: str) -> None:
        events.append(("rename", f"{source} {target}"))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return events


def test_a_commit_is_put_after_the_bytes_and_the_names_of_its_files(disk, tmp_path: Path):
    space = Workspace(str(tmp_path / "w"))
    shards = {f"{number}.parquet": [{"id": str(number)}] for number in range(3)}
    put_table(space, "documents", pa.schema([("id", pa.string())]), shards, stage="extract")
    folder = space.table("documents").url
    put = next(n for n, (kind, what) in enumerate(disk) if kind == "rename" and what.endswith("commits/extract.json"))
    named = [n for n, (kind, what) in enumerate(disk) if kind == "rename" and f" {folder}/" in what and n < put]
    assert len(named) == 3
    for n in named:
        scratch = disk[n][1].split(" ")[0]
        assert ("sync", scratch) in disk[:n], "a file bears its name before its bytes are on the disk"
    assert ("sync", folder) in disk[max(named) : put], "the commit is there before the names that it relies on"
    assert disk[:put].count(("sync", folder)) == 1, "a folder is synced once for all of its files"


def test_what_may_be_lost_waits_for_no_disk(disk, tmp_path: Path):
    with replacing(str(tmp_path / "a"), durable=False) as scratch:
        Path(scratch).write_text("a")
    assert (tmp_path / "a").read_text() == "a"
    assert [kind for kind, _ in disk] == ["rename"]
