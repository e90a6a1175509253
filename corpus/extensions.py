"""What other packages and single files add: stages, signals, scores, exporters, readers and functions of rules.

A package names its parts as entry points of the groups `gristmill.stages`, `gristmill.signals`, ...; a file given by
`--plugin` holds tuples of (name, object) or mappings under STAGES, SIGNALS, ... . The files stand in the environment
variable GRISTMILL_PLUGINS, which local worker processes inherit; to others the steps of a graph carry them. Refuses a
file that is missing or fails, and a name that two extensions give. Nothing is loaded before it is asked for.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from .store.errors import RequestError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUPS = ("stages", "signals", "scores", "exporters", "readers", "rules")
VARIABLE = "GRISTMILL_PLUGINS"


@dataclass(frozen=True)
class Extension:
    """One part: its name, where it comes from, the module that relative names are relative to, and how it is loaded."""

    name: str
    origin: str
    module: str
    source: Any  # an entry point, or the object itself

    def load(self) -> Any:
        """The object. RequestError where its package fails to load."""
        from importlib.metadata import EntryPoint

        if not isinstance(self.source, EntryPoint):
            return self.source
        try:
            return self.source.load()
        except Exception as error:
            raise RequestError(f"{self.origin}: {self.source.value} cannot be loaded: {error}") from error


def add_plugins(paths: Iterable[str]) -> None:
    """Make plug-in files known to this process and to the worker processes that it starts."""
    given = [os.path.abspath(path) for path in paths]
    for path in given:
        if not os.path.isfile(path):
            raise RequestError(f"--plugin {path}: there is no such file")
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*plugins(), *given]))


def plugins() -> tuple[str, ...]:
    """Paths of the plug-in files."""
    return tuple(path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path)


def load_plugins() -> None:
    """Load every plug-in file, so that a worker process can unpickle what they define."""
    for path in plugins():
        _module(path)


def identity() -> str:
    """Changes when the set of plug-in files does, for caches of what they add."""
    return os.environ.get(VARIABLE, "")


def extensions(group: str) -> Mapping[str, Extension]:
    """name -> extension of a group, sorted by name."""
    return _extensions(group, identity())


@lru_cache(maxsize=64)
def _extensions(group: str, _: str) -> Mapping[str, Extension]:
    found: dict[str, Extension] = {}

    def add(extension: Extension) -> None:
        if extension.name in found:
            raise RequestError(
                f"{extension.origin} and {found[extension.name].origin} both add {group} of the name {extension.name!r}"
            )
        found[extension.name] = extension

    for point in _entry_points().select(group=f"gristmill.{group}"):
        add(Extension(point.name, f"package {point.dist.name if point.dist else '?'}", point.module, point))
    for path in plugins():
        module = _module(path)
        given = getattr(module, group.upper(), ())
        for name, value in given.items() if isinstance(given, Mapping) else given:
            add(Extension(name, path, module.__name__, value))
    return dict(sorted(found.items()))


@cache
def _entry_points() -> "EntryPoints":
    """Those of every installed package: they are read once, which takes as long as a small command."""
    from importlib.metadata import entry_points

    return cast("EntryPoints", entry_points())


def added(group: str, own: Iterable[str]) -> dict[str, Any]:
    """name -> loaded object of a group. RequestError for one that bears the name of a part of ours."""
    taken = set(own)
    for name, extension in extensions(group).items():
        if name in taken:
            raise RequestError(f"{extension.origin}: {name!r} in {group} is a name of gristmill's own")
    return {name: extension.load() for name, extension in extensions(group).items()}


def module_name(path: str, text: bytes | None = None) -> str:
    """The module that a plug-in file becomes: by its name and text, so that it is the same on every machine."""
    digest = hashlib.blake2b(Path(path).read_bytes() if text is None else text, digest_size=8)
    return f"gristmill_plugin_{Path(path).stem}_{digest.hexdigest()}"


@lru_cache(maxsize=64)
def _module(path: str) -> ModuleType:
    """A plug-in file as a module that pickle finds again in every process that has the file."""
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"--plugin {path}: a plug-in is a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RequestError(f"--plugin {path} fails: {type(error).__name__}: {error}") from error
    return module
