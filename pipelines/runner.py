"""Which Beam runner, with how many workers. Default: Beam's own in-process runner, one process or several.

`--workers N` asks for N local processes; anything after `--` on the command line is handed to Beam unchanged
(`-- --runner=FlinkRunner --flink_master=...`), and then Beam's options decide alone.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner


@dataclass(frozen=True)
class RunnerOptions:
    """How to run a graph: local worker processes, or Beam options that name a runner."""

    workers: int = 1
    beam: tuple[str, ...] = ()


def run_graph(build: Callable[[beam.Pipeline], object], options: RunnerOptions) -> None:
    """Build the graph on a fresh pipeline and run it to its end. Raises what a worker raised."""
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    runner, arguments = _runner(options)
    with beam.Pipeline(runner=runner, options=PipelineOptions(list(arguments))) as pipeline:
        build(pipeline)


def _runner(options: RunnerOptions) -> tuple[PipelineRunner | None, Sequence[str]]:
    if any(argument.startswith("--runner") for argument in options.beam):
        if "--runner=DaskRunner" in options.beam:  # Beam does not know it by name
            from apache_beam.runners.dask.dask_runner import DaskRunner

            return DaskRunner(), [argument for argument in options.beam if argument != "--runner=DaskRunner"]
        return None, options.beam
    # Named outright: in Beam 2.77 `DirectRunner` may pick Prism, which fetches a binary.
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    local = []
    if options.workers > 1:
        local = ["--direct_running_mode=multi_processing", f"--direct_num_workers={options.workers}"]
    return FnApiRunner(), [*local, *options.beam]
