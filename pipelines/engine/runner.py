"""Which Beam runner, with how many workers. Default: Beam's own in-process runner, one process or several.

`--workers N` asks for N local processes; anything after `--` on the command line is handed to Beam unchanged
(`-- --runner=FlinkRunner --flink_master=...`), and then Beam's options decide alone.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner


@dataclass(frozen=True)
class RunnerOptions:
    """How to run a graph: local worker processes, or Beam options that name a runner."""

    workers: int = 1
    beam: tuple[str, ...] = ()
    refit: bool = False  # fit anew what stays in force when its inputs change


def run_graph(build: Callable[[beam.Pipeline], object], options: RunnerOptions) -> None:
    """Build the graph on a fresh pipeline and run it to its end. Raises what a worker raised."""
    runner, arguments = _runner(options)
    with _quiet():
        pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(list(arguments)))
        build(pipeline)
        result = pipeline.run()
        try:
            result.wait_until_finish()
        finally:
            client = getattr(result, "client", None)  # DaskRunner leaves its connection open
            if client is not None:
                client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Beam's own log from errors upwards: its notes about coders and bundles say nothing about the work."""
    log = logging.getLogger("apache_beam")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


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
