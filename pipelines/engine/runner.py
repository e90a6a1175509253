"""Which Beam runner, with how many workers. Default: Beam's own in-process runner, one process or several.

`--workers N` asks for N local processes; anything after `--` on the command line is handed to Beam unchanged
(`-- --runner=FlinkRunner --flink_master=...`), and then Beam's options decide alone. What Beam logs while a graph runs
is held until it is known how it ended: a refusal, a full disk and an interrupt are told in words, without Beam's log.
"""

import errno
import logging
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ...corpus.store.errors import (
    NO_ROOM,
    OF_STORES,
    RequestError,
    WorkspaceError,
    busy_store,
    of_a_store,
    refused_by_store,
)
from ..clusters.reach import refuse_what_cannot_run, taken_apart
from ..clusters.settings import Cluster
from .beam import ParsedOptions, PipelineRunner, beam, outside_of_ipython


@dataclass(frozen=True)
class RunnerOptions:
    """How to run a graph: local worker processes, or Beam options that name a runner."""

    workers: int = 1
    beam: tuple[str, ...] = ()
    refit: bool = False  # fit anew what stays in force when its inputs change
    keep: int = 1  # generations of each result that stay, the one in force among them
    cluster: Cluster | None = None  # the engine that a cluster file names
    mend: bool = False  # look into every file of the result in force, and make anew what is damaged


def run_graph(build: Callable[[beam.Pipeline], object], options: RunnerOptions) -> None:
    """Build the graph on a fresh pipeline and run it to its end. Raises what a worker raised."""
    runner, arguments = _runner(options)
    with _held_log() as log, outside_of_ipython():
        try:
            pipeline = beam.Pipeline(runner=runner, options=ParsedOptions(list(arguments)))
        except (ValueError, ImportError, AttributeError, TypeError) as error:
            raise RequestError(f"Beam does not take {' '.join(arguments)}: {_line(error)}") from error
        build(pipeline)
        try:
            result = pipeline.run()
            try:
                result.wait_until_finish()
            finally:
                client = getattr(result, "client", None)  # DaskRunner leaves its connection open
                if client is not None:
                    client.close()
        except KeyboardInterrupt:
            log.clear()
            raise
        except Exception as error:
            refused = KeyboardInterrupt() if interrupted(error) else refusal_in(error) or lost_engine(error)
            if options.cluster is not None and (why := _given_up()) is not None:
                refused = WorkspaceError(why)
            if refused is None:
                raise
            log.clear()
            raise refused from error


RAISED = re.compile(r"^(?:[\w.]+\.)?(\w+): ", re.MULTILINE)
WHERE = re.compile(r"\s*\[while running '")  # what Beam adds to what a step raised
STORE = re.compile(rf"^(?:[\w.]+\.)?(?:{'|'.join(OF_STORES)}): (?!\[Errno)(.*)$", re.MULTILINE)
BUSY = re.compile(rf"(?:^|: )OSError: \[Errno {errno.EBUSY}\] ([^'\n]*?)(?: \[while running '.*)?$", re.MULTILINE)
ON = re.compile(r"\n(?:Traceback \(|\nDuring handling|\nThe above exception)")  # where the next error begins
FULL = re.compile(rf"^OSError: \[Errno ({'|'.join(map(str, NO_ROOM))})\] (.*)$", re.MULTILINE)
STOPPED = re.compile(r"^KeyboardInterrupt\b|^Worker subprocess exited with return code -2$", re.MULTILINE)


def interrupted(error: BaseException) -> bool:
    """Whether this is what a runner makes of an interrupt, which reaches workers too."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt) or STOPPED.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def refusal_in(error: BaseException) -> Exception | None:
    """The refusal that a worker raised, whatever the runner wrapped it in; None where it was a defect."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RequestError | WorkspaceError):
            return RequestError(_said(seen)) if isinstance(seen, RequestError) else WorkspaceError(_said(seen))
        if isinstance(seen, OSError) and seen.errno in NO_ROOM:
            return WorkspaceError(no_room(seen))
        if (store := of_a_store(seen)) is not None:
            return store
        seen = seen.__cause__ or seen.__context__
    text = str(error)  # from another process only text comes back
    told = _told(text) or _told(text.replace("\\n", "\n"))  # some job servers hand on a quoted text
    if told is not None:
        return told
    if (store := STORE.search(text)) is not None:
        return refused_by_store(store[1])
    if (busy := BUSY.search(text)) is not None:
        return busy_store(busy[1])
    found = FULL.search(text)
    return WorkspaceError(no_room(OSError(int(found[1]), found[2].strip()))) if found else None


def _told(text: str) -> Exception | None:
    """The first refusal in a text of tracebacks, whole: it may have several lines."""
    own = {**dict.fromkeys(_names(RequestError), RequestError), **dict.fromkeys(_names(WorkspaceError), WorkspaceError)}
    for found in RAISED.finditer(text):
        if found[1] in own:
            rest = ON.split(text[found.end() :])[0]
            tail = WHERE.search(rest)
            return own[found[1]]((rest[: tail.start()] if tail else rest.split("\n")[0]).strip())
    return None


def _names(kind: type[Exception]) -> list[str]:
    return [kind.__name__, *(name for below in kind.__subclasses__() for name in _names(below))]


def lost_engine(error: BaseException) -> Exception | None:
    """The sentence for an engine that went away under a graph; None where it was something else."""
    seen: BaseException | None = error
    while seen is not None:
        module, name = type(seen).__module__.split(".")[0], type(seen).__name__
        if name == "KilledWorker":
            return WorkspaceError(
                "one piece of work ended every worker that took it, most often for want of memory; give the workers "
                "more memory or smaller shards (--shard-bytes); what was finished stays, and the same command goes on"
            )
        if (module == "distributed" and name in LOST) or (module == "grpc" and "UNAVAILABLE" in str(seen)):
            return WorkspaceError(
                f"the connection to the engine was lost ({_line(seen) or name}); what was finished stays, and the "
                "same command goes on"
            )
        seen = seen.__cause__ or seen.__context__
    return None


LOST = ("CommClosedError", "FutureCancelledError", "CancelledError", "FuturesCancelledError")


def no_room(error: OSError) -> str:
    """In one sentence that a file cannot be written."""
    name = error.filename or "a file of the result"
    why = os.strerror(error.errno or 0)
    return f"{name} cannot be written: {why}; what was finished stays, and the same command goes on"


def _said(error: BaseException) -> str:
    return WHERE.split(str(error))[0].strip()


def _line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said if len(said) <= 300 else said[:300].rpartition(" ")[0] + " ..."


class _Held(logging.Handler):
    """Beam's log from errors upwards, kept: its notes about coders and bundles say nothing about the work."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.kept: deque[logging.LogRecord] = deque(maxlen=1000)

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    def clear(self) -> None:
        self.kept.clear()

    def of_the_root(self, record: logging.LogRecord) -> bool:
        """A filter of the root logger, by which portable runners hand on what a job server says."""
        if record.levelno < logging.ERROR:
            return True
        self.kept.append(record)
        return False


@contextmanager
def _held_log() -> Iterator[_Held]:
    """Beam's log is held, and given on at the end unless it was cleared: then the end is told otherwise."""
    log, held = logging.getLogger("apache_beam"), _Held()
    level, on = log.level, log.propagate
    log.setLevel(logging.ERROR)
    log.addHandler(held)
    log.propagate = False
    logging.getLogger().addFilter(held.of_the_root)
    threading.excepthook = _of_a_thread
    try:
        yield held
    finally:
        logging.getLogger().removeFilter(held.of_the_root)
        log.removeHandler(held)
        log.setLevel(level)
        log.propagate = on
        for record in held.kept:
            log.callHandlers(record)


def _of_a_thread(failed: threading.ExceptHookArgs) -> None:
    """What threads raise is printed, but for what Beam's say of workers that an interrupt has ended."""
    if not STOPPED.search(str(failed.exc_value)):
        threading.__excepthook__(failed)


def _runner(options: RunnerOptions) -> tuple[PipelineRunner | None, Sequence[str]]:
    options = _of_the_cluster(options)
    given = taken_apart(options.beam)
    if given.runner is not None or options.beam:
        refuse_what_cannot_run(options.beam)
    if given.dask:  # Beam does not know it by name
        from apache_beam.runners.dask.dask_runner import DaskRunner

        # by itself it puts 128 elements into a task: a stage of 100 shards would run on one worker
        sized = any(word.startswith(("--dask_npartitions", "--dask_partition_size")) for word in given.rest)
        return DaskRunner(), [*given.rest, *(() if sized else ("--dask_partition_size=1",))]
    if given.runner is not None:
        return None, options.beam
    # Named outright: in Beam 2.77 `DirectRunner` may pick Prism, which fetches a binary.
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    if options.workers == 1:
        return FnApiRunner(), options.beam
    worker = SubprocessSDKEnvironment.from_command_string(f"{sys.executable} -m {__package__}.worker")
    # no --direct_running_mode: `multi_processing` would replace the worker by Beam's own, which logs to the terminal
    return FnApiRunner(default_environment=worker), [f"--direct_num_workers={options.workers}", *options.beam]


def _of_the_cluster(options: RunnerOptions) -> RunnerOptions:
    """Local workers or Beam options in place of the cluster, whose workers are started where they are not yet."""
    if options.cluster is None:
        return options
    if options.beam:
        raise RequestError("a cluster and Beam options after -- are two engines; give one of them")
    from ..clusters.sessions import options_of

    workers, beam_options = options_of(options.cluster)
    return replace(options, workers=workers, beam=beam_options, cluster=None)


def _given_up() -> str | None:
    from ..clusters.sessions import failure

    return failure()
