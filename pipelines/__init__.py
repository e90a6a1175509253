"""The road: one Beam graph per stage, the stage contract, the command line, the demo, the audit and the report.

Start with `stage.py` (what a stage promises), then `extract.py` (a stage), then `run.py` (their order).
"""

import logging


def _worth_printing(record: logging.LogRecord) -> bool:
    return "apitools not found" not in record.getMessage()


logging.getLogger().addFilter(_worth_printing)  # Beam warns about Google's clients wherever they are not installed
