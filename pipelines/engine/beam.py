"""Apache Beam, imported without its warning about Google's clients, which it gives wherever they are not installed.

Inside of IPython, Beam alters the labels of transforms by the number of the cell, leaves its scratch folders to its
interactive runner, and refuses Dask. What it loads for the first does not load beside pandas 3. Graphs of ours are made
and run as they are elsewhere: `outside_of_ipython`.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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

__all__ = ["PipelineOptions", "PipelineRunner", "beam", "outside_of_ipython", "pickler"]


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
