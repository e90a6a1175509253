"""The process of a submitted run: the command line, which a batch system stops and starts again as it likes.

What the system sends before it kills ends the run as an interrupt does: the hold on the workspace is given back and
workers are ended. A hold that a killed run before it left behind is waited for, until it runs out.
"""

import signal
import sys
import time
from types import FrameType

from ...corpus.store.lease import holder_of
from ..cli import INTERRUPTED, main

PATIENCE = 150.0  # seconds; a hold runs out within 60
EVERY = 2.0


def wait_for_hold(workspace: str, patience: float = PATIENCE) -> None:
    """Return when nobody holds the workspace, or after `patience` seconds: then the run itself refuses."""
    until = time.monotonic() + patience
    while holder_of(workspace) is not None and time.monotonic() < until:
        time.sleep(EVERY)


def drive(arguments: list[str]) -> int:
    """Run the command line; its exit code, that of an interrupt where it was asked to stop."""
    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        workspace = workspace_of(arguments)
        if workspace is not None:
            wait_for_hold(workspace)
        main(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        return INTERRUPTED if stopped and code else code
    return 0


def workspace_of(arguments: list[str]) -> str | None:
    """The workspace of a `run`: of its option, else of the settings file."""
    for flag in ("--workspace", "-w"):
        if flag in arguments[:-1]:
            return arguments[arguments.index(flag) + 1]
    from ..engine.run import load_settings

    return load_settings(arguments[1]).workspace if arguments[:1] == ["run"] and len(arguments) > 1 else None


if __name__ == "__main__":
    raise SystemExit(drive(sys.argv[1:]))
