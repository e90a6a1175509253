"""Chunks of a document at sentence boundaries, and token counts for budgets.

A chunk holds at most a given number of tokens; chunks joined give the document back, character by character. A
sentence that is longer by itself is cut between words, a word that is longer by itself between characters.
Counts come from a `tokenizer.json` where one is given, else from an estimate that is meant to err upwards.
Refuses budgets below one token.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from ...corpus.store.errors import RequestError

Count = Callable[[str], int]

_PIECES = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]")
# a sentence ends at a full stop with its closing marks, before white space; at a full-width stop; at a line feed
_BOUNDARY = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|No|Nr|Fig|al|Inc|Ltd|Co|Corp|approx|ca|cf|e\.g|i\.e|z\.B|bzw|usw)|\b[A-Z])\.$"
)

_LONGEST = 8  # characters of an abbreviation with its full stop, and one more


def estimate_tokens(text: str) -> int:
    """Tokens of a byte-level BPE, estimated: one for five letters of a word, one for a digit or any other character."""
    return sum(
        (len(piece) + 4) // 5 if piece[0].isascii() and piece[0].isalpha() else 1 for piece in _PIECES.findall(text)
    )


@lru_cache(maxsize=4)
def token_counter(tokenizer: str | None) -> Count:
    """Counts tokens with the `tokenizer.json` at a path, or by the estimate."""
    if tokenizer is None:
        return estimate_tokens
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_file(tokenizer)
    except Exception as error:  # tokenizers raises bare Exception for what it cannot read
        raise RequestError(f"--tokenizer {tokenizer} cannot be read: {error}") from error
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def sentences(text: str) -> list[str]:
    """The sentences with the white space that follows them; joined they are the text."""
    parts: list[str] = []
    start = 0
    for found in _BOUNDARY.finditer(text):
        end = found.end()
        if end == start:
            continue
        if "\n" not in found[0] and _ABBREVIATION.search(text, max(start, found.start() - _LONGEST), found.start()):
            continue
        parts.append(text[start:end])
        start = end
    if start < len(text):
        parts.append(text[start:])
    return parts


def chunks(text: str, limit: int, count: Count = estimate_tokens) -> list[str]:
    """Pieces of at most `limit` tokens, as long as sentences allow; joined they are the text."""
    if limit < 1:
        raise RequestError(f"a chunk of {limit} tokens holds nothing; at least 1 is needed")
    return _packed(sentences(text), limit, count, _by_words)


def _by_words(sentence: str, limit: int, count: Count) -> Iterator[str]:
    yield from _packed(re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", sentence) or [sentence], limit, count, _by_characters)


def _by_characters(word: str, limit: int, count: Count) -> Iterator[str]:
    """A word that is too long: as many equal parts as its tokens fill, and parts of those, until each fits or is one
    character."""
    tokens = count(word)
    if len(word) <= 1 or tokens <= limit:
        yield word
        return
    into = min(len(word), max(2, -(-tokens // limit)))
    for part in range(into):
        yield from _by_characters(word[len(word) * part // into : len(word) * (part + 1) // into], limit, count)


def _packed(parts: list[str], limit: int, count: Count, cut: Callable[[str, int, Count], Iterator[str]]) -> list[str]:
    """Greedy: as many parts as fit by their counts, then without the last ones while the whole is over, because counts
    do not add up exactly. A part that is too long is cut, and its last piece is a part like others."""
    packed: list[str] = []
    parts = list(parts)
    counts = [count(part) for part in parts]
    at = 0
    while at < len(parts):
        if counts[at] > limit and len(parts[at]) > 1:
            *whole, parts[at] = cut(parts[at], limit, count)
            packed += whole
            counts[at] = count(parts[at])
        end, total = at + 1, counts[at]
        while end < len(parts) and total + counts[end] <= limit:
            total, end = total + counts[end], end + 1
        while end - at > 1 and count("".join(parts[at:end])) > limit:
            end -= 1
        packed.append("".join(parts[at:end]))
        at = end
    return packed
