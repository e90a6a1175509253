"""Compiled functions whose cache cannot be stale.

numba keeps what it compiled until the file that holds a function changes; code and constants that the function took
from other files stay as they were, after an edit and, as `__pycache__` outlives a package, after an upgrade too. Here
a function is compiled anew whenever its own file, or any file that it imports from within this package, is another.
Of several processes that need it at once one compiles, and the others wait and take what it made.
"""

import fcntl
import hashlib
import inspect
import os
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

PATIENCE = 300.0  # seconds to wait for another process that compiles; then a process compiles for itself
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
        self._lock = _Lock(f"{self.cache_path}/{self._impl.filename_base}.lock")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is stored, or None where this process is to compile; what another one compiles is waited for."""
        found = super().load_overload(sig, target_context)
        until = time.monotonic() + PATIENCE
        while found is None and not self._lock.take() and time.monotonic() < until:
            time.sleep(0.05)
            found = super().load_overload(sig, target_context)
        if found is None:  # whoever had the lock before may have stored it since
            found = super().load_overload(sig, target_context)
            if found is not None:
                self._lock.release()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        finally:
            self._lock.release()


class _Lock:
    """A file that one process holds at a time; it is free again when the process ends, however that comes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Whether this process may compile: it holds the lock, or locks cannot be had here."""
        if self._held is not None:
            return True
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except OSError:  # a file system without locks
            os.close(handle)
            return True
        self._held = handle
        return True

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


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
