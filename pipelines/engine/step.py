"""What a graph calls on each element, and how it reaches a worker: with the plug-in files that it may need.

A local worker process inherits the plug-ins of the one that started it. Any other (another machine, another user's
service) knows nothing of them, so that a step carries their text and, where it arrives, has them loaded before what was
pickled with their classes is read.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ...corpus.extensions import add_plugins, load_plugins, module_name, plugins
from .beam import beam, pickler


class Step(beam.DoFn):
    """`function(element, *more)`, without annotations, which Beam would take for its own."""

    def __init__(self, function: Callable[..., Iterator[Any]], *more: Any) -> None:
        self.function, self.more = function, more

    def process(self, element: Any) -> Iterator[Any]:
        yield from self.function(element, *self.more)

    def __dir__(self) -> list[str]:
        """What Beam looks at, eight times for each step, for state and timers: all other methods are its own."""
        return ["process"]

    def __reduce__(self) -> tuple[Any, ...]:
        if not plugins():
            return Step, (self.function, *self.more)
        return _arrived, (_texts(), pickler.dumps((self.function, *self.more)))


def _texts() -> dict[str, bytes]:
    """Name of the file -> its text, of every plug-in."""
    texts = {}
    for path in plugins():
        with open(path, "rb") as file:
            texts[os.path.basename(path)] = file.read()
    return texts


def _arrived(texts: dict[str, bytes], packed: bytes) -> Step:
    there = {module_name(path) for path in plugins()}
    for name, text in texts.items():
        if module_name(name, text) not in there:
            folder = tempfile.mkdtemp(prefix="gristmill-plugin-")
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text)
            add_plugins([os.path.join(folder, name)])
    load_plugins()
    return Step(*pickler.loads(packed))
