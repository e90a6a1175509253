"""Who a document is: a digest of the file it came from and of its place in that file.

A file is known by its content (size, first and last 64 KiB), never by its path, so a moved crawl keeps its ids. Two
different files may agree in all of that; `planning.py` compares such files by full checksum. Ids do not depend on how
a file is split among workers: an offset is the place in the whole file.
"""

import hashlib
from typing import cast

import xxhash

from ..readers.members import open_bytes
from ..store.shards import filesystem, fingerprint

EDGE = 64 << 10


def document_id(file: str, offset: int, inner: int = 0) -> str:
    """32 hex digits for the record at `offset` of a file; `inner` tells records of one compressed member apart."""
    place = f"{file}:{offset}" if not inner else f"{file}:{offset}:{inner}"
    return hashlib.blake2b(place.encode(), digest_size=16).hexdigest()


def file_fingerprint(url: str) -> tuple[str, int]:
    """(fingerprint, size) of a file, from its size and its first and last 64 KiB."""
    fs, path = filesystem(url)
    size = cast("int | None", fs.size(path))
    if size is None:  # a server that does not tell: the URL is all there is to know without reading it
        return url_fingerprint(url), 0
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open_bytes(url) as file:
        digest.update(file.read(EDGE))
        if size > EDGE:
            file.seek(max(EDGE, size - EDGE))
            digest.update(file.read(EDGE))
    return digest.hexdigest(), size


def part_checksum(url: str, start: int = 0, end: int | None = None) -> str:
    """xxh3-128 of the bytes [start, end) of a file, hex; `end` None: to its end. It tells whether a file was changed,
    which is no contest with whoever makes files: a digest for that would cost several times as much."""
    digest = xxhash.xxh3_128()
    left = None if end is None else end - start
    with open_bytes(url) as file:
        file.seek(start)
        while block := file.read(1 << 20 if left is None else min(left, 1 << 20)):
            digest.update(block)
            left = None if left is None else left - len(block)
    return digest.hexdigest()


def url_fingerprint(url: str) -> str:
    """Fingerprint of a file that is named but not opened: an entry of a crawl's path list, which never changes."""
    return fingerprint("url", url)
