"""The stages there are: those of the package, of installed packages (entry points) and of plug-in files, in run order.

Refuses two stages of one name, an `after` that names no stage, and a cycle. Loads the records alone.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from ...corpus import extensions
from ...corpus.store.errors import RequestError, unknown_name
from .. import stages
from .record import StageRecord


def records() -> dict[str, StageRecord]:
    """name -> record, every stage after those that it names; equal ranks in the order of their names."""
    return _records(extensions.identity())


@lru_cache(maxsize=2)
def _records(identity: str) -> dict[str, StageRecord]:
    own = []
    for found in pkgutil.iter_modules(stages.__path__):
        if found.ispkg:
            package = f"{stages.__name__}.{found.name}"
            for record in importlib.import_module(f"{package}.record").RECORDS:
                own.append(replace(record, package=record.package or package))
    return ordered([*own, *foreign()])


def foreign() -> list[StageRecord]:
    """Records of other packages and of plug-in files."""
    given = []
    for name, extension in extensions.extensions("stages").items():
        record = extension.load()
        if not isinstance(record, StageRecord):
            raise RequestError(f"{extension.origin}: the stage {name} is no StageRecord")
        package = record.package or extension.module.rpartition(".")[0] or extension.module
        given.append(replace(record, package=package))
    return given


def ordered(given: Iterable[StageRecord]) -> dict[str, StageRecord]:
    """Sorted by `after`. RequestError for a name used twice, an unknown `after` and a cycle."""
    by_name: dict[str, StageRecord] = {}
    for record in given:
        if record.name in by_name:
            raise RequestError(f"two stages are named {record.name!r}; a plug-in needs a name of its own")
        by_name[record.name] = record
    for record in by_name.values():
        for name in record.after:
            if name not in by_name:
                raise unknown_name("stage", name, by_name, where=f"stage {record.name}: after")
    done: dict[str, StageRecord] = {}
    waiting = dict(sorted(by_name.items()))
    while waiting:
        ready = next((name for name, record in waiting.items() if all(a in done for a in record.after)), None)
        if ready is None:
            raise RequestError(f"stages come after each other in a circle: {', '.join(sorted(waiting))}")
        done[ready] = waiting.pop(ready)
    return done


def record_of(name: str) -> StageRecord:
    """The record of a stage. RequestError with the nearest name where there is none."""
    found = records()
    if name not in found:
        raise unknown_name("stage", name, found)
    return found[name]
