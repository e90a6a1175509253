"""The workspace's lease: who writes is alone, and a writer that died stops nobody.

`lease.json` names the holder and when its lease runs out. It is taken, renewed (by a thread, thrice in its time) and
given back by conditional puts, so that of two commands that find it free exactly one takes it. A second command is
refused with a RequestError that names the first. Passed over are a lease that ran out, one whose process is dead on
this machine (same boot, same process namespace, and the process of that id started when the holder did), and a file
that is no lease. A holder that was stopped for long, or whose clock is wrong, can lose its lease while it lives: it is
told by `check`, and since every commit is a conditional put on the generation before it, two holders never both win.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pydantic import BaseModel, Field, ValidationError

from .errors import RequestError, WorkspaceError
from .puts import Conflict, Version, put_if, read

LEASE = "lease.json"
TRIES = 20


class Holder(BaseModel, frozen=True):
    """Who holds a lease."""

    command: str = Field(description="the command line, as the user would type it")
    host: str = Field(description="name of the machine")
    machine: str = Field(description="what tells whether a process id means the same process here: boot and namespace")
    pid: int = Field(description="process id on that machine")
    started: str = Field(description="when the process started, in ticks since boot: process ids come back")
    nonce: str = Field(description="32 hex digits drawn for this lease: no two leases are the same bytes")


class LeaseRecord(BaseModel, frozen=True):
    """What stands in `lease.json`; all None where nobody holds the workspace."""

    holder: Holder | None = Field(default=None, description="who holds it")
    since: datetime | None = Field(default=None, description="when it was taken, UTC")
    expires: datetime | None = Field(default=None, description="until when it counts unless it is renewed, UTC")

    def encode(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def this_process(command: str) -> Holder:
    """This process as a holder, with a fresh nonce."""
    return Holder(
        command=command,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        nonce=uuid.uuid4().hex,
    )


def holder_of(workspace: str, clock: Callable[[], float] = time.time) -> LeaseRecord | None:
    """The lease that is in force on a workspace, None where there is none. For `status`."""
    found = read(f"{workspace}/{LEASE}")
    record = None if found is None else _decoded(found[0])
    return record if record is not None and _in_force(record, clock()) else None


class Lease:
    """A lease on one workspace. `held` takes and gives back; use this class alone where time is in other hands."""

    def __init__(
        self, workspace: str, command: str, seconds: float = 60, clock: Callable[[], float] = time.time
    ) -> None:
        self.workspace, self.seconds = workspace, seconds
        self.url = f"{workspace}/{LEASE}"
        self.holder = this_process(command)
        self._clock = clock
        self._mutex = threading.Lock()
        self._version: Version | None = None
        self._since = self._expires = 0.0
        self._lost = ""
        self._trouble: Exception | None = None
        self._ended = threading.Event()

    def take(self) -> None:
        """Take the lease. RequestError where another holds it."""
        for _ in range(TRIES):
            found = read(self.url)
            record = None if found is None else _decoded(found[0])
            now = self._clock()
            if record is not None and _in_force(record, now):
                raise RequestError(_refusal(self.workspace, record))
            self._since = now
            try:
                self._put(found[1] if found else None, now)
            except Conflict:
                continue  # another was faster: read who
            return
        raise RequestError(f"{self.url} changes all the time; too many commands want {self.workspace} at once")

    def renew(self) -> None:
        """Extend the lease by its time; `check` tells where it was lost."""
        with self._mutex:
            if self._lost or self._ended.is_set():
                return
            try:
                self._put(self._version, self._clock())
            except Conflict:
                found = read(self.url)
                record = None if found is None else _decoded(found[0])
                self._lost = _named(record or LeaseRecord())

    def check(self) -> None:
        """WorkspaceError where the lease was lost: what is to be committed must not be. Renews it where it ran out."""
        if not self._lost and self._clock() >= self._expires:
            self.renew()
        if self._lost:
            raise WorkspaceError(
                f"this command was stopped for so long that it lost {self.workspace} to {self._lost}; "
                "what it had committed stands; run it again for the rest"
            ) from self._trouble

    def start(self) -> None:
        """Renew in a thread from now on, until `release`."""
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def release(self) -> None:
        """Give the lease back, unless another has it by now."""
        self._ended.set()
        with self._mutex, suppress(Conflict):  # a conflict: it is another's by now, and there is nothing to give back
            put_if(self.url, LeaseRecord().encode(), self._version)

    def _keep(self) -> None:
        """A store that does not answer is asked again until the lease runs out."""
        while not self._ended.wait(self.seconds / 3):
            try:
                self.renew()
                self._trouble = None
            except Exception as error:
                self._trouble = error  # `check` tries once more when the time is up, and raises what it meets then

    def _put(self, version: Version | None, now: float) -> None:
        since, expires = (datetime.fromtimestamp(at, UTC) for at in (self._since, now + self.seconds))
        record = LeaseRecord(holder=self.holder, since=since, expires=expires)
        self._version = put_if(self.url, record.encode(), version)
        self._expires = now + self.seconds


_HELD: dict[str, tuple[Lease, int]] = {}  # of this process, with the number of those who hold it
_guard = threading.RLock()


def _forget_after_fork() -> None:
    """What a parent holds is not its child's to renew or to give back."""
    global _guard
    _guard = threading.RLock()
    _HELD.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


@contextmanager
def held(
    workspace: str, command: str, seconds: float = 60, clock: Callable[[], float] = time.time
) -> Generator[Lease, None, None]:
    """Hold the workspace's lease for the block, renewed by a thread; within one process it may be held again.

    RequestError where another process holds it, with its command, machine, process id and since when.
    """
    key = workspace if "://" in workspace else os.path.realpath(workspace)
    with _guard:
        lease, count = _HELD.get(key, (None, 0))
        if lease is None:
            lease = Lease(workspace, command, seconds, clock)
            lease.take()
            lease.start()
        _HELD[key] = (lease, count + 1)
        guard = _guard
    try:
        yield lease
    finally:
        with guard:
            if key in _HELD and _HELD[key][0] is lease:  # else: a fork that leaves its parent's block
                left = _HELD[key][1] - 1
                if left:
                    _HELD[key] = (lease, left)
                else:
                    del _HELD[key]
                    lease.release()


def _in_force(record: LeaseRecord, now: float) -> bool:
    if record.holder is None or record.expires is None or record.expires.timestamp() <= now:
        return False
    mine = record.holder.machine and record.holder.machine == _machine()
    return not mine or _alive(record.holder.pid, record.holder.started)


def _decoded(data: bytes) -> LeaseRecord | None:
    try:
        return LeaseRecord.model_validate_json(data)
    except ValidationError:
        return None  # no lease: whoever wrote it cannot renew it either


def _named(record: LeaseRecord) -> str:
    who = record.holder
    if who is None or record.since is None:
        return "nobody that is known"
    return f"`{who.command}` (process {who.pid} on {who.host}, since {record.since:%Y-%m-%d %H:%M:%S} UTC)"


def _refusal(workspace: str, record: LeaseRecord) -> str:
    return (
        f"another gristmill is at work in {workspace}: {_named(record)}; wait for it to end"
        f" (if it died, its hold ends at {record.expires:%H:%M:%S} UTC)"
    )


def _machine() -> str:
    """Boot and process namespace of this process, "" where the system does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None where there is none or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _alive(pid: int, started: str) -> bool:
    return _started(pid) == started
