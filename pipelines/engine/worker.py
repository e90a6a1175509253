"""A local worker process of Beam's in-process runner: Beam's own worker, without its notes to the terminal."""

import logging
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it without a traceback: the main process tells
    logging.disable(logging.WARNING)
    from apache_beam.runners.worker import sdk_worker_main

    from ...corpus.extensions import load_plugins

    load_plugins()

    sdk_worker_main.main(sys.argv)
