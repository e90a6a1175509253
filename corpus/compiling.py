"""Compiled functions whose cache cannot be stale.

numba keeps what it compiled until the file that holds a function changes; code and constants that the function took
from other files stay as they were, after an edit and, as `__pycache__` outlives a package, after an upgrade too. Here
a function is compiled anew whenever its own file, or any file that it imports from within this package, is another.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_IMPORT = re.compile(r"^from (\.+)([\w.]+) import ", re.M)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function compiled by numba, without the interpreter's lock. `options` are those of `numba.njit`."""
    dispatcher: Any = numba.njit(nogil=True, **options)(function)
    dispatcher._cache = _Cache(function)  # what `cache=True` does, but for the stamp
    return dispatcher


class _Cache(FunctionCache):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = sources_stamp(Path(inspect.getfile(function)))
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp)


def sources_stamp(file: Path) -> str:
    """SHA-256 of the contents of a module and of all that it imports by relative imports, directly or not."""
    digest = hashlib.sha256()
    found, left = {file}, [file]
    while left:
        for imported in _read(left.pop())[1]:
            if imported not in found:
                found.add(imported)
                left.append(imported)
    for one in sorted(found):
        digest.update(f"{one.parent.name}/{one.name} {_read(one)[0]}\n".encode())
    return digest.hexdigest()


@cache
def _read(file: Path) -> tuple[str, tuple[Path, ...]]:
    """(SHA-256 of a module's source, the modules that it imports by relative imports)."""
    source = file.read_bytes()
    modules = []
    for dots, name in _IMPORT.findall(source.decode()):
        folder = file.parents[len(dots) - 1]
        modules.append(folder.joinpath(*name.split(".")).with_suffix(".py"))
    return hashlib.sha256(source).hexdigest(), tuple(module for module in modules if module.is_file())
