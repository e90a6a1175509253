"""Where `write` writes: a folder that is its own, by a mark in it, and what lies there.

Refuses a folder that holds files of somebody else: its own are replaced and removed as the corpus
changes.
"""

import json
from collections.abc import Collection
from contextlib import suppress

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import filesystem, replacing

MARK = ".gristmill.json"


def check_place(output: str) -> None:
    """RequestError where the place is a file, or a folder with files of somebody else."""
    fs, path = filesystem(output)
    if fs.isfile(path):
        raise RequestError(f"{output} is a file; OUT is a folder")
    if fs.exists(path) and fs.ls(path, detail=False) and not fs.exists(f"{path}/{MARK}"):
        raise RequestError(f"{output} holds files that gristmill write did not put there; name another folder")


def mark(output: str) -> None:
    """Make the folder ours, before the first file is in it."""
    check_place(output)
    with replacing(f"{output}/{MARK}") as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps({"about": "written by gristmill write, which replaces and removes files here"}) + "\n")


def there(output: str) -> set[str]:
    """Paths of the files in the folder, relative to it."""
    fs, path = filesystem(output)
    if not fs.exists(path):
        return set()
    return {name.removeprefix(path).lstrip("/") for name in fs.find(path)}


def remove(output: str, names: Collection[str]) -> None:
    """Remove files of the folder, as far as they are there."""
    fs, path = filesystem(output)
    for name in names:
        with suppress(FileNotFoundError):
            fs.rm_file(f"{path}/{name}")


def put(output: str, name: str, text: str) -> None:
    """A small file of the folder, written at once."""
    with replacing(f"{output}/{name}") as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(text)
