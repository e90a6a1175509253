"""Extraction in a child process with hard limits, so that no page can hang, kill or fill the worker.

The child notes in shared memory which page it has begun, and answers quick pages together. When a page has used its CPU
seconds, even inside compiled code, or has killed the child, the child is replaced and that page alone fails; the others
of its batch that were not answered are sent again. CPU time is measured, not wall time, so that a busy machine fails no
page that an idle one would extract. Pages reach the child through shared memory, the pipes carry only where they are
and what became of them.
"""

import atexit
import fcntl
import gc
import mmap
import os
import pickle
import resource
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Any

from .pages import Job, Options, Outcome, work_on

MEMORY = 800 << 20  # bytes of private memory that a child may hold
HANG = 20.0  # wall seconds per CPU second allowed, for a child that sleeps
TOGETHER = 0.02  # CPU seconds of pages that are answered together
WARM_UP = Job("<html><body><h1>warm</h1><p>up to the last caf\xe9</p></body></html>".encode(), markup=True)
_LENGTH = struct.Struct("<Q")


class Sandbox:
    """A child process that extracts. One job at a time; `close` ends it."""

    def __init__(self, options: Options, seconds: float) -> None:
        self.options, self.seconds = options, seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._pages, self._begun = _Pages(_shared_file()), _Begun(_shared_file())

    def extract(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """One outcome per job, in their order."""
        known: dict[int, Outcome] = {}
        given = 0
        while given < len(jobs):
            left = [number for number in range(given, len(jobs)) if number not in known]
            for number, outcome in self._answers(jobs, left):
                known[number] = outcome
                while given in known:
                    yield known.pop(given)
                    given += 1

    def _answers(self, jobs: Sequence[Job], left: Sequence[int]) -> Iterator[tuple[int, Outcome]]:
        """(number, outcome) of the jobs that are left, in their order up to the first failure, which ends them."""
        child, answered, failure = self._running(), 0, None
        self._begun.number = 0
        try:
            try:
                _send(child.stdin, self._pages.put([jobs[number] for number in left]))
            except (BrokenPipeError, OSError):
                failure = self._ended()
            while answered < len(left):
                outcomes = failure or self._await(child)
                if isinstance(outcomes, str):
                    yield left[max(answered, self._begun.number - 1)], Outcome(error=outcomes)
                    return
                for outcome in outcomes:
                    answered += 1
                    yield left[answered - 1], outcome
        finally:
            if answered < len(left):  # what the child would answer yet must not be taken for answers to other jobs
                self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            shared, begun = self._pages.descriptor, self._begun.descriptor
            quiet = (
                "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"  # an interrupt is the parent's to tell
            )
            command = [sys.executable, "-c", f"{quiet}; from {__name__} import serve; serve({shared}, {begun})"]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=(shared, begun)
            )
            _widen(self._child.stdout)
            _send(self._child.stdin, self.options)
            _receive(self._child.stdout)  # it is ready: starting up is no page's time
        return self._child

    def _await(self, child: subprocess.Popen[bytes]) -> list[Outcome] | str:
        """The next outcomes, or why there are none."""
        assert child.stdout is not None
        page, began, used = self._begun.number, time.monotonic(), _cpu(child.pid)
        while not select.select([child.stdout], [], [], 0.25)[0]:
            if self._begun.number != page:
                page, began, used = self._begun.number, time.monotonic(), _cpu(child.pid)
            elif _cpu(child.pid) - used > self.seconds or time.monotonic() - began > self.seconds * HANG:
                return f"extraction took longer than max_page_seconds ({self.seconds:g})"
        outcomes: list[Outcome] | None = _receive(child.stdout)
        return outcomes if outcomes is not None else self._ended()

    def _ended(self) -> str:
        code = self._child.wait() if self._child is not None else None
        return f"extraction ended its process ({f'signal {-code}' if code and code < 0 else f'exit {code}'})"


class _Pages:
    """Bodies of a batch in memory that both processes map. A page is named by its place there."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None

    def put(self, jobs: Sequence[Job]) -> list[tuple[Job, int, int]]:
        """Write the bodies; (job without its body, start, size) by job, size -1 where the job holds its own."""
        size = sum(len(job.body) for job in jobs if type(job.body) is bytes)
        if self._map is None or len(self._map) < size:
            os.ftruncate(self.descriptor, max(size, 1))
            self._map = mmap.mmap(self.descriptor, max(size, 1))
        placed, at = [], 0
        for job in jobs:
            if type(job.body) is bytes:
                self._map[at : at + len(job.body)] = job.body
                placed.append((replace(job, body=b""), at, len(job.body)))
                at += len(job.body)
            else:  # text, which has to be pickled anyway
                placed.append((job, 0, -1))
        return placed

    def get(self, job: Job, start: int, size: int) -> Job:
        """The job with its body."""
        if size < 0:
            return job
        if self._map is None or len(self._map) < start + size:
            self._map = mmap.mmap(self.descriptor, 0, prot=mmap.PROT_READ)
        return replace(job, body=self._map[start : start + size])


class _Begun:
    """The number of the page of a batch that the child has begun last, from 1, in memory that both processes map."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.ftruncate(descriptor, _LENGTH.size)
        self._map = mmap.mmap(descriptor, _LENGTH.size)

    @property
    def number(self) -> int:
        return int(_LENGTH.unpack_from(self._map)[0])

    @number.setter
    def number(self, number: int) -> None:
        _LENGTH.pack_into(self._map, 0, number)


def _shared_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gristmill pages")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold 1 MB, so that the child need not wait for each answer to be read."""
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
        except OSError:  # the user's pipes are full: smaller ones do
            return


_held: dict[tuple[int, int, Options, float], Sandbox] = {}


def sandbox(options: Options, seconds: float) -> Sandbox:
    """The sandbox of this thread for these options, started at first use and ended with the process."""
    key = (os.getpid(), threading.get_ident(), options, seconds)
    if key not in _held:
        _held[key] = Sandbox(options, seconds)
        atexit.register(_held[key].close)
    return _held[key]


def _cpu(pid: int) -> float:
    """CPU seconds that a process has used; wall seconds where the system does not tell."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # Linux: the CPU clock of another process
    except OSError:
        return time.monotonic()


def _send(pipe: IO[bytes] | None, thing: object) -> None:
    assert pipe is not None
    data = memoryview(pickle.dumps(thing, protocol=5))
    pipe.write(_LENGTH.pack(len(data)))
    while len(data):  # a raw pipe may take a part
        data = data[pipe.write(data) or 0 :]


def _receive(pipe: IO[bytes] | None) -> Any:
    """The next thing, None at the end of the pipe."""
    assert pipe is not None
    head = _exactly(pipe, _LENGTH.size)
    data = _exactly(pipe, _LENGTH.unpack(head)[0]) if head else None
    return pickle.loads(data) if data is not None else None


def _exactly(pipe: IO[bytes], size: int) -> bytes | None:
    parts, left = [], size
    while left:
        block = pipe.read(min(left, 1 << 20))
        if not block:
            return None
        parts.append(block)
        left -= len(block)
    return b"".join(parts)


def serve(shared: int, counted: int) -> None:
    """The child: options first, then batches of jobs, their bodies in the shared file, until the pipe closes."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    jobs = os.fdopen(0, "rb", buffering=0)
    pages, begun, options = _Pages(shared), _Begun(counted), _receive(jobs)
    work_on(WARM_UP, options)
    gc.freeze()  # what was imported is there to stay: looking through it again and again cost 5 % of the time
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _send(answers, "ready")
    while (batch := _receive(jobs)) is not None:
        outcomes, since = list[Outcome](), time.process_time()
        for number, (job, start, size) in enumerate(batch, 1):
            begun.number = number
            outcomes.append(work_on(pages.get(job, start, size), options))
            if number == len(batch) or time.process_time() - since > TOGETHER:
                _send(answers, outcomes)
                outcomes, since = [], time.process_time()
