"""Apache Beam, imported without its warning about Google's clients, which it gives wherever they are not installed."""

import logging


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

__all__ = ["PipelineOptions", "PipelineRunner", "beam", "pickler"]
