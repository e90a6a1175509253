"""Which Beam runner, with how many workers. Default: Beam's own in-process runner, one process or several.

`--workers N` asks for N local processes; anything after `--` on the command line is handed to Beam unchanged
(`-- --runner=FlinkRunner --flink_master=...`), and then Beam's options decide alone.
"""

import errno
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...corpus.store.errors import RequestError, WorkspaceError
from .beam import PipelineOptions, PipelineRunner, beam


@dataclass(frozen=True)
class RunnerOptions:
    """How to run a graph: local worker processes, or Beam options that name a runner."""

    workers: int = 1
    beam: tuple[str, ...] = ()
    refit: bool = False  # fit anew what stays in force when its inputs change
    keep: int = 1  # generations of each result that stay, the one in force among them
    mend: bool = False  # look into every file of the result in force, and make anew what is damaged


def run_graph(build: Callable[[beam.Pipeline], object], options: RunnerOptions) -> None:
    """Build the graph on a fresh pipeline and run it to its end. Raises what a worker raised."""
    runner, arguments = _runner(options)
    with _quiet():
        try:
            pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(list(arguments)))
        except (ValueError, ImportError) as error:
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
        except Exception as error:
            refused = refusal_in(error)
            if refused is None:
                raise
            raise refused from error


OWN = {kind.__name__: kind for kind in (RequestError, WorkspaceError)}
RAISED = re.compile(r"^(?:[\w.]+\.)?(RequestError|WorkspaceError|MissingExtra): (.*)$", re.MULTILINE)
FULL = re.compile(r"^OSError: (\[Errno (?:28|122|30)\] .*)$", re.MULTILINE)  # no space, over the quota, read-only


def refusal_in(error: BaseException) -> Exception | None:
    """The refusal that a worker raised, whatever the runner wrapped it in; None where it was a defect."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RequestError | WorkspaceError):
            return RequestError(_said(seen)) if isinstance(seen, RequestError) else WorkspaceError(_said(seen))
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return WorkspaceError(f"{seen.filename or 'a file'} cannot be written: {seen.strerror}")
        seen = seen.__cause__ or seen.__context__
    text = str(error)  # from another process only text comes back
    if found := RAISED.search(text):
        return OWN.get(found[1], RequestError)(re.split(r" \[while running '", found[2])[0].strip())
    return WorkspaceError(f"a file cannot be written: {found[1]}") if (found := FULL.search(text)) else None


def _said(error: BaseException) -> str:
    return re.split(r" \[while running '", str(error))[0].strip()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Beam's own log from errors upwards: its notes about coders and bundles say nothing about the work."""
    log, steps = logging.getLogger("apache_beam"), logging.getLogger("apache_beam.runners.common")
    before = log.level
    log.setLevel(logging.ERROR)
    steps.addFilter(_unforeseen)
    try:
        yield
    finally:
        log.setLevel(before)
        steps.removeFilter(_unforeseen)


def _unforeseen(record: logging.LogRecord) -> bool:
    """Whether a record is more than a refusal in words, which the command line prints without its traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], (RequestError, WorkspaceError)))


def _runner(options: RunnerOptions) -> tuple[PipelineRunner | None, Sequence[str]]:
    if any(argument.startswith("--runner") for argument in options.beam):
        if "--runner=DaskRunner" in options.beam:  # Beam does not know it by name
            from apache_beam.runners.dask.dask_runner import DaskRunner

            return DaskRunner(), [argument for argument in options.beam if argument != "--runner=DaskRunner"]
        return None, options.beam
    # Named outright: in Beam 2.77 `DirectRunner` may pick Prism, which fetches a binary.
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    if options.workers == 1:
        return FnApiRunner(), options.beam
    worker = SubprocessSDKEnvironment.from_command_string(f"{sys.executable} -m {__package__}.worker")
    # no --direct_running_mode: `multi_processing` would replace the worker by Beam's own, which logs to the terminal
    return FnApiRunner(default_environment=worker), [f"--direct_num_workers={options.workers}", *options.beam]
