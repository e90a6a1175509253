"""Puts: whole or not at all, exactly one winner, and nothing left behind that stops the next writer."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.puts import _S3, Conflict, Version, put, put_if, read, signature, state_of, states
from gristmill.corpus.store.shards import filesystem

from ..stores import gs, s3


@pytest.fixture(scope="module", params=["local", "s3", "gs"])
def folder(request, tmp_path_factory):
    if request.param == "local":
        yield str(tmp_path_factory.mktemp("puts"))
    else:
        with {"s3": s3, "gs": gs}[request.param]() as store:
            yield store.url


def test_a_file_is_put_only_over_the_version_that_was_read(folder):
    url = f"{folder}/sub/one.json"
    assert read(url) is None
    assert signature(url) is None
    first = put_if(url, b"one", None)
    assert read(url) == (b"one", first)
    second = put_if(url, b"two", first)
    assert read(url) == (b"two", second)
    seen = signature(url)
    for stale in (first, None):
        with pytest.raises(Conflict):
            put_if(url, b"three", stale)
    assert (read(url), signature(url)) == ((b"two", second), seen)


def test_a_put_that_is_repeated_is_no_conflict(folder):
    url = f"{folder}/repeated.json"
    first = put_if(url, b"one", None)
    assert put_if(url, b"one", None) == first
    second = put_if(url, b"two", first)
    assert put_if(url, b"two", first) == second


def test_a_put_without_a_condition_replaces_whatever_is_there_and_changes_the_signature(folder):
    url = f"{folder}/free.json"
    put(url, b"one")
    seen = signature(url)
    version = put(url, b"other", durable=False)
    assert read(url) == (b"other", version)
    assert signature(url) not in (None, seen)
    put_if(url, b"next", version)


def test_a_version_is_a_conflict_where_the_file_is_gone(folder):
    version = put(f"{folder}/there.json", b"x")
    with pytest.raises(Conflict):
        put_if(f"{folder}/gone.json", b"y", version)


def test_of_threads_that_read_the_same_version_exactly_one_wins(folder):
    url = f"{folder}/raced.json"
    version = None
    for turn in range(3):
        won, start = [], threading.Barrier(4)

        def race(number, turn=turn, version=version, won=won, start=start):
            start.wait()
            with contextlib.suppress(Conflict):
                won.append((put_if(url, f"{turn} {number}".encode(), version), number))

        threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        version = won[0][0]
        assert read(url) == (f"{turn} {won[0][1]}".encode(), version)


RACE = """
    import sys, json
    from gristmill.corpus.store.puts import read, put_if, Conflict
    url, name, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    won = 0
    while won < turns:
        found = read(url)
        taken = json.loads(found[0]) if found else []
        try:
            put_if(url, json.dumps([*taken, name]).encode(), found and found[1])
            won += 1
        except Conflict:
            pass
"""


def test_processes_that_add_to_one_file_lose_nothing(tmp_path):
    url, script = str(tmp_path / "list.json"), textwrap.dedent(RACE)
    racers = [subprocess.Popen([sys.executable, "-c", script, url, name, "20"]) for name in "ab"]
    assert [racer.wait(60) for racer in racers] == [0, 0]
    taken = json.loads(read(url)[0])
    assert (taken.count("a"), taken.count("b"), len(taken)) == (20, 20, 40)


# every system call of a put, counted over a fork: the child dies before the k-th, or after it, or half-way in a write
KILLED = """
    import fcntl, json, os, shutil, signal, sys
    from gristmill.corpus.store import puts
    folder = sys.argv[1]
    os.fsync = lambda handle: None  # what SIGKILL leaves does not depend on it; that it is called is counted
    url = os.path.join(folder, "one.json")
    calls = [(os, "open"), (os, "write"), (os, "fsync"), (os, "replace"), (os, "close"), (fcntl, "flock"),
             (os, "makedirs")]

    def killed(step, after, work):
        child = os.fork()
        if child == 0:
            count = 0
            def wrap(owner, name):
                real = getattr(owner, name)
                def call(*args, **named):
                    nonlocal count
                    mine, count = count, count + 1
                    if mine == step:
                        if after == "half" and name == "write":
                            real(args[0], bytes(args[1])[:2])
                        elif after == "after":
                            real(*args, **named)
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **named)
                setattr(owner, name, call)
            for owner, name in calls:
                wrap(owner, name)
            try:
                work()
                os._exit(0)
            finally:
                os._exit(3)
        status = os.waitpid(child, 0)[1]
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
        return status != 0

    told = []
    for before in (None, b"old bytes"):
        for after in ("before", "half", "after"):
            step = 0
            while True:
                shutil.rmtree(folder, ignore_errors=True)
                version = None if before is None else puts.put_if(url, before, None)
                died = killed(step, after, lambda: puts.put_if(url, b"new bytes", version))
                found = puts.read(url)
                found = None if found is None else found[0]
                puts.put_if(url, b"new bytes", version)  # the same command again, which no dead lock may stop
                told.append([died, found == before, found == b"new bytes", sorted(os.listdir(folder))])
                if not died:
                    break
                step += 1
    print(json.dumps(told))
"""


def test_a_put_killed_anywhere_leaves_the_old_file_or_the_new_one_and_can_be_repeated(tmp_path):
    script = textwrap.dedent(KILLED)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "killed")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sum(died for died, *_ in told) > 50
    assert all(old != new for _, old, new, _ in told)
    assert {new for _, _, new, _ in told} == {True, False}
    assert {tuple(names) for *_, names in told} <= {("one.json",), (".one.json.put", "one.json")}


def test_what_a_killed_writer_left_beside_the_file_goes_with_the_next_put(tmp_path):
    (tmp_path / ".one.json.put").write_bytes(b"half of something longer than what comes")
    put_if(str(tmp_path / "one.json"), b"whole", None)
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
    assert (tmp_path / "one.json").read_bytes() == b"whole"


def test_a_file_system_that_cannot_lock_folders_is_locked_by_a_file(tmp_path, monkeypatch):
    import errno
    import fcntl
    import os
    import stat

    real = fcntl.flock

    def flock(handle, operation):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "as NFS answers")
        return real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    version = put_if(str(tmp_path / "one.json"), b"one", None)
    with pytest.raises(Conflict):
        put_if(str(tmp_path / "one.json"), b"two", None)
    put_if(str(tmp_path / "one.json"), b"two", version)


def test_a_store_that_ignores_conditions_is_refused(monkeypatch):
    with s3() as store:
        write = _S3.write
        monkeypatch.setattr(_S3, "write", lambda self, fs, path, data, condition: write(self, fs, path, data, None))
        with pytest.raises(RequestError, match="ignores the condition"):
            put_if(f"{store.url}/one.json", b"one", None)


def test_other_file_systems_compare_and_put():
    first = put_if("memory://puts/one.json", b"one", None)
    with pytest.raises(Conflict):
        put_if("memory://puts/one.json", b"two", None)
    assert put_if("memory://puts/one.json", b"two", first) != first
    assert read("memory://puts/one.json")[0] == b"two"


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "put_if", "stale"]), st.binary(max_size=6), st.integers(0, 9)), max_size=12
    )
)
def test_a_file_is_always_what_the_last_winner_wrote(tmp_path_factory, steps):
    url = str(tmp_path_factory.mktemp("model") / "file")
    content: bytes | None = None
    versions: list[Version | None] = [None]
    for kind, data, pick in steps:
        if kind == "put":
            versions.append(put(url, data))
            content = data
            continue
        found = read(url)
        current = found[1] if found else None
        version = current if kind == "put_if" else versions[pick % len(versions)]
        try:
            versions.append(put_if(url, data, version))
            assert version == current or data == content
            content = data
        except Conflict:
            assert version != current
        assert (None if read(url) is None else read(url)[0]) == content


def test_a_file_that_goes_while_a_folder_is_listed_hides_none_of_the_others(tmp_path: Path, monkeypatch):
    for name in ("a.json", ".b.put", "c.json"):
        (tmp_path / name).write_text("x")
    held = sorted(os.scandir(tmp_path), key=lambda entry: entry.name)  # .b.put comes first
    (tmp_path / ".b.put").unlink()
    monkeypatch.setattr(os, "scandir", lambda path: contextlib.nullcontext(held))
    assert [name for name, _ in states(str(tmp_path))] == ["a.json", "c.json"]


def test_the_state_of_a_listed_file_is_the_one_that_is_told_of_it_alone(tmp_path: Path):
    (tmp_path / "a.json").write_text("x")
    fs, path = filesystem(str(tmp_path / "a.json"))
    assert dict(states(str(tmp_path))) == {"a.json": state_of(fs.info(path))}
    assert dict(states(str(tmp_path / "nothing"))) == {}
