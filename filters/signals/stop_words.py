"""Stop words by language, as data and as a signal that needs no language identification.

`stop_words.de` is the share of a text's words that are German stop words, so a rule can choose by the document's
`language` column, and thresholds can differ by language (`threshold: {default: 0.1, fi: 0.05}`). Words are Unicode
words (UAX 29) in lower case; Chinese and Japanese are not segmented: UAX 29 cuts ideographs and hiragana apart, and
the words listed for them are single characters, so there the share is of characters. `by_language.py` cuts texts into
the words of the language that the document is in, and has lists for more of them.
"""

import functools
import importlib.resources

import numpy as np

from ..words import unicode
from ..words.kernels import NEXT, decode, jit
from ..words.layout import Layout, Spans
from .gopher import Columns

_DATA = importlib.resources.files(__package__ or "") / "stop_words.txt"
STOP_WORDS = dict(line.split(": ", 1) for line in _DATA.read_text(encoding="utf-8").splitlines())  # by ISO 639-1 code
LANGUAGES = tuple(sorted(STOP_WORDS))


def lowered_hashes(layout: Layout, words: Spans) -> np.ndarray:
    """A hash of each word in lower case."""
    return _lowered(layout.data, words.start, words.end, unicode.lowered())


@jit
def _lowered(data, start, end, lower):
    out = np.zeros(len(start), np.uint64)
    for w in range(len(start)):
        i = start[w]
        while i < end[w]:
            point, width = decode(data, i)
            out[w] = out[w] * NEXT + np.uint64(lower[point] + 1)
            i += width
    return out


@jit
def _counts(bounds, hashes, keys, bits, languages):
    out = np.zeros((languages, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for w in range(bounds[d], bounds[d + 1]):
            at = np.searchsorted(keys, hashes[w])
            if at < len(keys) and keys[at] == hashes[w]:
                for language in range(languages):
                    out[language, d] += (bits[at] >> language) & 1
    return out


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """(K,) uint64 hashes in order, and (K,) int64 with a bit for each language that has the word."""
    import pyarrow as pa

    bits: dict[int, int] = {}
    for place, language in enumerate(LANGUAGES):
        layout = Layout(pa.array([STOP_WORDS[language]]))
        for key in lowered_hashes(layout, layout.words("unicode")).tolist():
            bits[key] = bits.get(key, 0) | 1 << place
    keys = np.array(sorted(bits), np.uint64)
    return keys, np.array([bits[int(key)] for key in keys], np.int64)


def stop_words(layout: Layout) -> Columns:
    """Share of words that are stop words, for every language; null for a text without words."""
    words = layout.words("unicode")
    counts = _counts(words.bounds, lowered_hashes(layout, words), *_table(), len(LANGUAGES))
    number = np.diff(words.bounds)
    return {language: layout.ratio(counts[place], number) for place, language in enumerate(LANGUAGES)}
