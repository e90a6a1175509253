"""What a scoring method is fitted to: a random sample of the corpus, and samples of what is wanted.

Draws are by hash of the id, so they do not depend on shards, workers or order. A target is a domain of the corpus
(its name), or a file of texts: JSON Lines or Parquet with a column `text`, or plain text, one document a paragraph;
compressed or not.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...corpus.readers.text_names import bare_name, names_a_file
from ...corpus.readers.texts import TextRow, read_rows
from ...corpus.store.errors import RequestError

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
    return names_a_file(target)


def read_target(path: str, seed: int, cap: int) -> list[str]:
    """Texts of a file of wanted documents, in the order of their draws, until their bytes reach the cap.

    A row whose text is null or empty is left out; one whose text is something else, or absent, is refused by its place.
    """
    texts = [text for row in read_rows(path) if (text := _text(row))]
    if not texts:
        raise RequestError(f"--target {path}: no text in it")
    rows = [(draw(f"{number}", seed, bare_name(path)), str(number), len(t)) for number, t in enumerate(texts)]
    return [texts[int(number)] for _, number, _ in within(rows, cap)]


def _text(row: TextRow) -> str | None:
    if isinstance(row.content, str):
        return row.content
    if "text" not in row.content:
        raise RequestError(f'--target {row.place} has no "text"; it has: {", ".join(row.content) or "nothing"}')
    text = row.content["text"]
    if text is not None and not isinstance(text, str):
        raise RequestError(f'--target {row.place}: "text" is {type(text).__name__}, not text')
    return text
