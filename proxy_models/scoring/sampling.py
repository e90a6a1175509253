"""What a scoring method is fitted to: a random sample of the corpus, and samples of what is wanted.

Draws are by hash of the id, so they do not depend on shards, workers or order. A target is a domain of the corpus
(its name), or a file of texts: `.jsonl` or `.parquet` with a column `text`, or plain text, one document a paragraph.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import pyarrow.parquet as pq

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem

Tell = Callable[[str], None]  # how far a fit has come, in words


def silent(_: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Samples:
    """Texts in an order of their own: by draw, so a prefix is a sample too.

    random   a sample of the whole corpus
    targets  name -> texts like those that are wanted
    """

    random: list[str] = field(default_factory=list)
    targets: dict[str, list[str]] = field(default_factory=dict)


def draw(id: str, seed: int, purpose: str) -> int:
    """64 bits that depend on the id, the seed and what is drawn for."""
    return int.from_bytes(hashlib.blake2b(f"{purpose}/{seed}/{id}".encode(), digest_size=8).digest(), "big")


def within(rows: Iterable[tuple[int, str, int]], cap: int) -> list[tuple[int, str, int]]:
    """(draw, id, bytes) in the order of their draws until their bytes reach the cap; the one that crosses it counts."""
    taken, used = [], 0
    for row in sorted(rows):
        if used >= cap:
            break
        taken.append(row)
        used += row[2]
    return taken


def is_file(target: str) -> bool:
    """Whether a target names a file (by its suffix or a slash), not a domain."""
    return "/" in target or target.endswith((".jsonl", ".parquet", ".txt"))


def read_target(path: str, seed: int, cap: int) -> list[str]:
    """Texts of a file of wanted documents, in the order of their draws, until their bytes reach the cap."""
    fs, place = filesystem(path)
    if not fs.exists(place):
        raise RequestError(f"--target {path}: there is no such file")
    with fs.open(place, "rb") as file:
        if path.endswith(".parquet"):
            table = pq.read_table(file)
            if "text" not in table.column_names:
                raise RequestError(f"--target {path}: no column text; there are: {', '.join(table.column_names)}")
            texts = [text for text in table["text"].to_pylist() if text]
        elif path.endswith(".jsonl"):
            lines = cast(bytes, file.read()).splitlines()
            texts = [_text(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
        else:
            texts = [
                part.strip()
                for part in cast(bytes, file.read()).decode("utf-8", "replace").split("\n\n")
                if part.strip()
            ]
    if not texts:
        raise RequestError(f"--target {path}: no text in it")
    rows = [(draw(f"{number}", seed, os.path.basename(path)), str(number), len(t)) for number, t in enumerate(texts)]
    return [texts[int(number)] for _, number, _ in within(rows, cap)]


def _text(line: bytes, number: int, path: str) -> str:
    try:
        row = json.loads(line)
        return row["text"]
    except (ValueError, KeyError, TypeError):
        raise RequestError(f'--target {path}: line {number} is no JSON object with a "text"') from None
