"""Whether a file of a table holds what was put there: asked by whoever reads one, before it is read.

The name of a shard's file ends in 16 digits of its checksum (`shards.py`), so one that was cut short, changed, doubled
or swapped with another's is told by its name alone. WorkspaceError for such a file and for one that is gone. A file is
looked at once a process while its size and times stay as they are; files of other names are none of ours.
"""

import hashlib
import io
import os
import re
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, cast

from fsspec.implementations.local import LocalFileSystem

from .errors import WorkspaceError

NAMED = re.compile(r".+\.([0-9a-f]{16})(\.[^./]+)?")  # a file of a table, whose name bears its checksum
BLOCK = 1 << 20
REMEMBERED = 1 << 16
_SEEN: "OrderedDict[tuple[Any, ...], str]" = OrderedDict()  # what a local file was -> what was wrong with it


@contextmanager
def opened(fs: Any, path: str) -> Generator[IO[bytes], None, None]:
    """A file of a table for reading, once it is known to be sound. A store's is fetched whole, in one request."""
    if isinstance(fs, LocalFileSystem):
        _demand(path, _of_local(path))
        with open(path, "rb") as file:
            yield file
        return
    try:
        data = io.BytesIO(cast(bytes, fs.cat_file(path)))
    except FileNotFoundError:
        data = None
    _demand(path, LOST if data is None else fault_of(data, path))
    assert data is not None
    data.seek(0)
    yield data


def demand_sound(fs: Any, path: str) -> None:
    """WorkspaceError unless a file of a table is there as it was put."""
    with opened(fs, path):
        return


def is_sound(fs: Any, path: str) -> bool:
    """Whether a file of a table is there as it was put."""
    try:
        demand_sound(fs, path)
    except WorkspaceError:
        return False
    return True


def known_sound(fs: Any, path: str) -> None:
    """Remember that a file was put under the name of its bytes just now: it need not be read to be believed."""
    if isinstance(fs, LocalFileSystem):
        _SEEN[_state(path, os.stat(path))] = ""


LOST = "is gone"


def _demand(path: str, fault: str) -> None:
    if fault:
        raise WorkspaceError(
            f"{path}, which a commit lists, {fault}; gristmill audit names all such files and the commands that make "
            f"them anew"
        )


def _of_local(path: str) -> str:
    """What is wrong with a local file, "" where nothing is."""
    try:
        now = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return LOST
    key = _state(path, now)
    if key not in _SEEN:
        with open(path, "rb") as file:
            _SEEN[key] = fault_of(file, path)
        while len(_SEEN) > REMEMBERED:
            _SEEN.popitem(last=False)
    return _SEEN[key]


def _state(path: str, now: os.stat_result) -> tuple[Any, ...]:
    return (path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def fault_of(file: IO[bytes], path: str) -> str:
    """What is wrong with the bytes of a file of this name, "" where nothing is."""
    named = NAMED.fullmatch(os.path.basename(path))
    if named is None or digest_of(file).startswith(named[1]):
        return ""
    return "holds something else than was committed"


def digest_of(file: IO[bytes]) -> str:
    """The `FileDigest` of all bytes of a file, hex."""
    file.seek(0)
    digest = FileDigest()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hex()


class FileDigest:
    """What files are known by: 128 bits of SHA-256, which most processors compute twice as fast as blake2b."""

    def __init__(self, data: bytes = b"") -> None:
        self._whole = hashlib.sha256(data)

    def update(self, data: bytes) -> None:
        self._whole.update(data)

    def digest(self) -> bytes:
        return self._whole.digest()[:16]

    def hex(self) -> str:
        return self.digest().hex()
