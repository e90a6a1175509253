"""Apache Beam, imported without its warning about Google's clients, which it gives wherever they are not installed.

Inside of IPython, Beam alters the labels of transforms by the number of the cell, leaves its scratch folders to its
interactive runner, and refuses Dask. What it loads for the first does not load beside pandas 3. Graphs of ours are made
and run as they are elsewhere: `outside_of_ipython`.
"""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar


def _worth_printing(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


logging.getLogger().addFilter(_worth_printing)
try:
    import apache_beam as beam
    from apache_beam.internal import pickler
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner
finally:
    logging.getLogger().removeFilter(_worth_printing)

V = TypeVar("V", bound=PipelineOptions)

__all__ = [
    "ParsedOptions",
    "PipelineRunner",
    "beam",
    "known_runners",
    "option_parser",
    "outside_of_ipython",
    "pickler",
]


def known_runners() -> list[str]:
    """The runners that Beam knows by name."""
    from apache_beam.options.pipeline_options import StandardOptions

    return list(StandardOptions.KNOWN_RUNNER_NAMES)


def option_parser(dask: bool) -> argparse.ArgumentParser:
    """All options that Beam knows in this process; those of Dask where asked for."""
    from apache_beam.options import pipeline_options

    if dask:
        from apache_beam.runners.dask import dask_runner  # noqa: F401 - registers its options

    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False, add_help=False)
    for kind in _kinds(PipelineOptions):
        kind._add_argparse_args(parser)
    return parser


def _kinds(kind: type[PipelineOptions]) -> Iterator[type[PipelineOptions]]:
    for below in kind.__subclasses__():
        if "_add_argparse_args" in vars(below):
            yield below
        yield from _kinds(below)


class ParsedOptions(PipelineOptions):
    """Beam's options, of which each view is parsed once: Beam asks for about a hundred of them for every graph."""

    def view_as(self, cls: type[V]) -> V:
        views = vars(self).setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


@contextmanager
def outside_of_ipython() -> Iterator[None]:
    """Inside, Beam takes no shell for a notebook."""
    shell = sys.modules.get("IPython")  # one that is not loaded runs nothing
    if shell is None:
        yield
        return
    before = vars(shell).get("get_ipython")  # None: the module finds it when it is asked for
    vars(shell)["get_ipython"] = lambda: None
    try:
        yield
    finally:
        if before is None:
            del vars(shell)["get_ipython"]
        else:
            vars(shell)["get_ipython"] = before
