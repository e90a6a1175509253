"""A workspace in an object store: how often it is asked, and what it answers when it is busy, torn or shut."""

import errno
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions, refusal_in
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter

from ...corpus.stores import Store, s3

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    raise it\n'


class NoCredentialsError(Exception):
    """As botocore's is called."""


@pytest.mark.parametrize(
    ("error", "right"),
    [
        (
            PermissionError("The provided token has expired."),
            "refuses these credentials (The provided token has expired.)",
        ),
        (PermissionError("Forbidden [while running 'process extract']"), "refuses these credentials (Forbidden)"),
        (NoCredentialsError("Unable to locate credentials"), "renew them, here and on the workers"),
        (OSError(errno.EBUSY, "Please reduce your request rate."), "the store is too busy"),
        (RuntimeError(f"{TRACE}PermissionError: Access Denied [while running 'x-7']\n"), "credentials (Access Denied)"),
        (RuntimeError(f"{TRACE}OSError: [Errno 16] Slow down. [while running 'x-7']\n"), "too busy ([Errno 16] Slow"),
        (RuntimeError("OSError: [Errno 16] Slow down. [while running 'x-7']"), "too busy"),
        (RuntimeError(f"{TRACE}botocore.exceptions.NoCredentialsError: Unable to locate credentials"), "renew them"),
    ],
)
def test_a_store_that_lets_nobody_in_is_one_sentence(error: Exception, right: str):
    told = refusal_in(error)
    assert isinstance(told, WorkspaceError)
    assert right.replace("[Errno 16] ", "") in str(told).replace("[Errno 16] ", "")
    assert "while running" not in str(told)
    assert "the same command goes on" in str(told)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/a/file"),
        RuntimeError(f"{TRACE}PermissionError: [Errno 13] Permission denied: '/a/file'"),
        OSError(errno.EBUSY, "Device or resource busy", "/a/file"),
        RuntimeError(f"{TRACE}OSError: [Errno 16] Device or resource busy: '/a/file' [while running 'x']"),
    ],
)
def test_a_file_of_a_disk_is_no_matter_of_a_store(error: Exception):
    assert refusal_in(error) is None


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with s3() as made:
        yield made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Requests by their kind; what a test puts under `fail` is called before each and may raise."""
    s3fs = pytest.importorskip("s3fs")
    counted: Counter[str] = Counter()
    call = s3fs.core.S3FileSystem._call_s3

    async def watched(self: Any, method: str, *given: Any, **named: Any) -> Any:
        counted[method] += 1
        return await call(self, method, *given, **named)

    monkeypatch.setattr(s3fs.core.S3FileSystem, "_call_s3", watched)
    return counted


def run(space: Workspace, folder: Path, files: int) -> None:
    inputs = (Input(paths=(str(folder / f"{files}"),), source="web", domain="web"),)
    run_extract(space, ExtractSettings(inputs=inputs, shard_bytes=400), RunnerOptions(), quiet=True)
    run_filter(space, FilterSettings(rules="gopher"), RunnerOptions(), quiet=True)


def write(folder: Path, files: int) -> None:
    (folder / f"{files}").mkdir()
    for number in range(files):
        row = {"text": f"text {number} " * 60, "url": f"https://h{number}.example/"}
        (folder / f"{files}" / f"{number:03d}.jsonl").write_text(json.dumps(row) + "\n")


@pytest.mark.slow
def test_a_shard_of_a_stage_takes_the_same_requests_however_many_there_are(store, calls, tmp_path):
    asked = {}
    for files in (4, 8, 24):
        write(tmp_path, files)
        calls.clear()
        run(Workspace(f"{store.url}/count-{files}"), tmp_path, files)
        asked[files] = sum(calls.values())
    first, second = (asked[8] - asked[4]) / 4, (asked[24] - asked[8]) / 16
    print(f"requests: {asked}; for a shard of two stages {first:.1f}, then {second:.1f}")
    assert second <= first * 1.15 + 1


@pytest.mark.slow
def test_a_store_that_answers_slow_down_now_and_then_costs_time_and_nothing_else(store, tmp_path, monkeypatch):
    """Every ninth request is answered 503 before it is let through: what the client repeats is its own matter."""
    botocore = pytest.importorskip("aiobotocore.endpoint")
    send, count = botocore.AioEndpoint._send, [0]

    async def busy(self: Any, request: Any) -> Any:
        answered = await send(self, request)
        count[0] += 1
        if count[0] % 9 == 0:
            answered.status_code = 503
        return answered

    write(tmp_path, 4)
    run(Workspace(str(tmp_path / "disk")), tmp_path, 4)
    monkeypatch.setattr(botocore.AioEndpoint, "_send", busy)
    space = Workspace(f"{store.url}/busy")
    run(space, tmp_path, 4)
    monkeypatch.setattr(botocore.AioEndpoint, "_send", send)
    disk = Workspace(str(tmp_path / "disk"))
    for name in ("documents", "decisions/filter"):
        here, there = disk.table(name).manifest(), space.table(name).manifest()
        assert here is not None
        assert there is not None
        assert here.fingerprint == there.fingerprint


@pytest.mark.slow
def test_credentials_that_expire_in_the_middle_end_in_a_sentence_and_the_next_run_goes_on(store, tmp_path, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    call, left = s3fs.core.S3FileSystem._call_s3, [60]

    async def expiring(self: Any, method: str, *given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise PermissionError("The provided token has expired.")
        return await call(self, method, *given, **named)

    write(tmp_path, 4)
    space = Workspace(f"{store.url}/expired")
    monkeypatch.setattr(s3fs.core.S3FileSystem, "_call_s3", expiring)
    with pytest.raises((WorkspaceError, PermissionError), match="token has expired"):
        run(space, tmp_path, 4)
    monkeypatch.setattr(s3fs.core.S3FileSystem, "_call_s3", call)
    left[0] = 10**9
    monkeypatch.setattr("gristmill.corpus.store.lease._in_force", lambda record, now: False)  # it ran out meanwhile
    run(space, tmp_path, 4)
    told = space.table("documents").manifest()
    assert told is not None
    assert told.counts["kept"] == 4
