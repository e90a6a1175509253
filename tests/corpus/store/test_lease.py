"""The lease: one writer at a time, who is named to the next, and whose death stops nobody."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pytest

from gristmill.corpus.store import lease as leases
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.lease import Holder, Lease, LeaseRecord, held, holder_of
from gristmill.corpus.store.puts import put, read

from ..stores import gs, s3


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module", params=["local", "s3", "gs"])
def place(request, tmp_path_factory):
    if request.param == "local":
        yield str(tmp_path_factory.mktemp("leases"))
    else:
        with {"s3": s3, "gs": gs}[request.param]() as store:
            yield store.url


def test_a_second_holder_is_told_who_the_first_is(place, clock):
    workspace = f"{place}/told"
    first = Lease(workspace, "gristmill filter --workspace W", 60, clock)
    first.take()
    clock.now += 59
    with pytest.raises(RequestError) as told:
        Lease(workspace, "gristmill dedup", 60, clock).take()
    for part in ("`gristmill filter --workspace W`", f"process {os.getpid()} on ", "since 2027-01-15 08:00:00 UTC"):
        assert part in str(told.value)
    assert holder_of(workspace, clock).holder == first.holder
    first.release()
    assert holder_of(workspace, clock) is None
    Lease(workspace, "gristmill dedup", 60, clock).take()


def test_a_lease_that_is_renewed_lasts_and_one_that_ran_out_is_passed_over_and_its_holder_told(place, clock):
    workspace = f"{place}/expired"
    first, second = (Lease(workspace, command, 60, clock) for command in ("gristmill filter", "gristmill dedup"))
    first.take()
    clock.now += 50
    first.renew()
    clock.now += 50
    with pytest.raises(RequestError, match="gristmill filter"):
        second.take()
    clock.now += 10
    second.take()
    with pytest.raises(WorkspaceError, match=r"lost .* to `gristmill dedup`"):
        first.check()
    first.release()  # takes nothing from the second
    assert holder_of(workspace, clock).holder == second.holder
    second.check()


def test_a_holder_that_slept_keeps_what_nobody_took(place, clock):
    workspace = f"{place}/slept"
    lease = Lease(workspace, "gristmill filter", 60, clock)
    lease.take()
    clock.now += 1000
    lease.check()
    with pytest.raises(RequestError):
        Lease(workspace, "gristmill dedup", 60, clock).take()


def test_a_workspace_that_was_given_back_bears_no_trace_of_who_held_it(tmp_path):
    for name, command in (("a", "gristmill filter"), ("b", "gristmill dedup")):
        with held(str(tmp_path / name), command):
            pass
    assert (tmp_path / "a" / "lease.json").read_bytes() == (tmp_path / "b" / "lease.json").read_bytes()


def test_a_process_holds_a_workspace_as_often_as_it_likes_and_gives_it_back_once(tmp_path):
    workspace = str(tmp_path)
    with held(workspace, "gristmill run") as outer:
        with contextlib.suppress(KeyError), held(workspace + "/", "gristmill filter") as inner:
            assert inner is outer
            raise KeyError
        assert holder_of(workspace).holder == outer.holder
        with pytest.raises(RequestError, match="gristmill run"):
            Lease(workspace, "another", 60).take()
    assert holder_of(workspace) is None


def record(clock: Clock, **changes) -> bytes:
    holder = leases.this_process("gristmill old").model_copy(update=changes)
    since, expires = (datetime.fromtimestamp(clock.now + more, UTC) for more in (-9, 30))
    return LeaseRecord(holder=Holder(**holder.model_dump()), since=since, expires=expires).encode()


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, False),  # it lives
        ({"pid": 2**22 + 1}, True),  # no such process on this machine
        ({"started": "1"}, True),  # the process id came back as another's
        ({"pid": 2**22 + 1, "machine": "another boot, or another container"}, False),
        ({"pid": 2**22 + 1, "machine": ""}, False),  # the system does not tell
    ],
)
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not tell when a process started")
def test_a_dead_process_of_this_machine_is_passed_over_and_of_another_only_in_time(tmp_path, clock, changes, passed):
    put(f"{tmp_path}/lease.json", record(clock, **changes))
    lease = Lease(str(tmp_path), "gristmill new", 60, clock)
    if passed:
        lease.take()
        return
    with pytest.raises(RequestError, match="gristmill old"):
        lease.take()
    clock.now += 30
    lease.take()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"holder": 3}', b"\xff"])
def test_a_file_that_is_no_lease_stops_nobody(tmp_path, data):
    put(f"{tmp_path}/lease.json", data)
    with held(str(tmp_path), "gristmill filter") as lease:
        lease.check()


def test_a_child_does_not_give_back_what_its_parent_holds(tmp_path):
    script = """
        import os, sys
        from gristmill.corpus.store.lease import held, holder_of
        with held(sys.argv[1], "gristmill parent") as lease:
            child = os.fork()
            if child == 0:
                sys.exit(0)  # leaves the block
            assert os.waitpid(child, 0)[1] == 0
            assert holder_of(sys.argv[1]).holder == lease.holder
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


HOLD = """
    import sys
    from gristmill.corpus.store.lease import held
    with held(sys.argv[1], sys.argv[2], 3600):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not tell when a process started")
def test_a_killed_holder_is_passed_over_at_once_and_of_two_commands_one_works(tmp_path):
    def start(command):
        arguments = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path), command]
        return subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    racers = {command: start(command) for command in ("gristmill filter", "gristmill dedup")}
    told = {command: racer.stdout.readline() for command, racer in racers.items()}
    (winner,) = [command for command, line in told.items() if line == "held\n"]
    (loser,) = [command for command in racers if command != winner]
    assert f"`{winner}`" in racers[loser].communicate()[1]
    racers[winner].send_signal(signal.SIGKILL)
    racers[winner].wait()
    third = start("gristmill tokenize")
    assert third.stdout.readline() == "held\n"
    third.communicate()
    racers[winner].communicate()
    assert read(f"{tmp_path}/lease.json")[0] == LeaseRecord().encode()


def test_a_store_that_fails_for_a_while_is_asked_again_and_the_lease_kept(tmp_path, clock, monkeypatch):
    lease = Lease(str(tmp_path), "gristmill filter", 0.003, clock)
    lease.take()
    real, failed = leases.put_if, []

    def failing(*arguments):
        if len(failed) < 3:
            failed.append(1)
            raise OSError("no route to the store")
        lease._ended.set()
        return real(*arguments)

    monkeypatch.setattr(leases, "put_if", failing)
    lease._keep()
    assert len(failed) == 3
    lease.check()
