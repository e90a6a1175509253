"""Gopher and FineWeb signals on words cut as the document's language asks for: the dialect `gopher@fineweb2`.

The column `language` of a document decides. Chinese, Japanese, Thai, Lao, Khmer and Burmese put no white space between
words; their texts are cut by ICU's dictionaries (icu4py, the extra `segmentation`). All others are cut at white space
and punctuation, as `gopher@datatrove` does. What is counted then is what FineWeb-2 counts: datatrove's filters, with
the stop words of the language. `rules/fineweb-2.yaml` has thresholds by language.

Refuses a text in one of those languages where ICU is not installed, unless the segmenter `none` is asked for, which
is recorded: `cut` then says `unsegmented`, and what depends on words is null. Stop words are null for a language
without a list.
"""

import functools
import importlib.metadata
import importlib.resources

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store.errors import MissingExtra
from ..words import unicode
from ..words.kernels import characters, decode, hashed, jit
from ..words.layout import Layout, Spans
from . import c4, gopher
from .stop_words import STOP_WORDS as SPACED_STOP_WORDS
from .stop_words import lowered_hashes

ICU, NONE = "icu", "none"
SEGMENTED = frozenset("zh yue wuu ja th lo km my".split())  # by ISO 639 code; ICU has a dictionary for each

_DATA = importlib.resources.files(__package__ or "") / "stop_words_cut.txt"
STOP_WORDS = SPACED_STOP_WORDS | dict(
    line.split(": ", 1) for line in _DATA.read_text(encoding="utf-8").splitlines()
)  # by ISO 639-1 code, as words of that language

_GRAMS = (*(f"top_{n}gram" for n in gopher.TOP), *(f"duplicate_{n}gram" for n in gopher.DUPLICATE))
_WORDS = ("word_count:int64", "mean_word_length", "hash_ratio", "ellipsis_ratio", "alpha_words", "list_ratio")
COLUMNS = (*_WORDS, "stop_words:int64", *_GRAMS, "bullet_lines", "ellipsis_lines", "duplicate_lines", "cut:string")
_NEEDS_WORDS = frozenset(name.partition(":")[0] for name in (*_WORDS, "stop_words", *_GRAMS))

_INVISIBLE = np.uint16(unicode.SPACE | unicode.OTHER | unicode.BREAK | unicode.PLAIN)


def icu():
    """ICU's word breaker, and a MissingExtra where it is not installed."""
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise MissingExtra("icu4py, which cuts Chinese, Japanese, Thai, Lao, Khmer and Burmese into words,",
                           "segmentation") from error  # fmt: skip
    return WordBreaker


def made_with(segmenter: str) -> str:
    """What the words depend on, for the record: another ICU has other dictionaries."""
    if segmenter == NONE:
        return NONE
    try:
        return f"icu4py {importlib.metadata.version('icu4py')}"
    except importlib.metadata.PackageNotFoundError:
        return ICU


def fineweb2(layout: Layout, language: pa.Array, segmenter: str = ICU) -> dict[str, pa.Array]:
    """`COLUMNS` of every text; ratios over words are null for texts that are not cut."""
    languages = language.to_pylist()
    cut = CutByLanguage(layout, languages, segmenter)
    columns = {**gopher.datatrove(cut), "list_ratio": c4.quality(cut)["list_ratio"], "stop_words": _stop_words(cut)}
    unsegmented = np.array([how == "unsegmented" for how in cut.how], bool)
    if unsegmented.any():
        null = {name: pa.scalar(None, columns[name].type) for name in _NEEDS_WORDS}
        known = pa.array(~unsegmented)
        columns |= {name: pc.if_else(known, columns[name], null[name]) for name in _NEEDS_WORDS}
    columns["cut"] = pa.array([None if gone else how for how, gone in zip(cut.how, layout.absent, strict=True)])
    return {name.partition(":")[0]: columns[name.partition(":")[0]] for name in COLUMNS}


class CutByLanguage(Layout):
    """A layout whose words, of whatever kind, are those of each text's language."""

    def __init__(self, base: Layout, languages: list[str | None], segmenter: str) -> None:
        self.text, self.ends, self.data = base.text, base.ends, base.data
        self.absent, self.table = base.absent, base.table
        self._parts = {f"pieces {kind}": base.lines(kind) for kind in ("lf", "broken", "runs", "blocks")}
        self.base, self.languages = base, languages
        inside = "unsegmented" if segmenter == NONE else ICU
        self.how = [inside if language in SEGMENTED else "space" for language in languages]

    def _words(self, kind: str) -> Spans:
        return self.part("words by language", lambda _: _merged(self))


def _merged(layout: CutByLanguage) -> Spans:
    """The words of the base layout, with those of segmented texts in their places."""
    plain = layout.base.words("english")
    which = [d for d, how in enumerate(layout.how) if how == ICU and layout.ends[d + 1] > layout.ends[d]]
    if not which:
        return plain
    breaker = icu()
    starts = [plain.start[plain.bounds[d] : plain.bounds[d + 1]] for d in range(len(layout))]
    ends = [plain.end[plain.bounds[d] : plain.bounds[d + 1]] for d in range(len(layout))]
    for d in which:
        starts[d], ends[d] = _segments(layout, d, breaker)
    start, end = np.concatenate(starts), np.concatenate(ends)
    hashes, chars, flags = _described(layout.data, start, end, layout.table)
    bounds = np.concatenate([[0], np.cumsum([len(own) for own in starts])]).astype(np.int64)
    return Spans(bounds, start, end, hashes, chars, flags)


def _segments(layout: CutByLanguage, d: int, breaker) -> tuple[np.ndarray, np.ndarray]:
    """First byte and byte after the last of every segment that is more than white space and invisible characters."""
    begin, stop = int(layout.ends[d]), int(layout.ends[d + 1])
    parts = list(breaker(layout.data[begin:stop].tobytes().decode(), layout.languages[d]))
    end = begin + np.cumsum([len(part.encode()) for part in parts], dtype=np.int64)
    start = np.concatenate([[begin], end[:-1]])
    seen = _described(layout.data, start, end, layout.table)[2] & ~_INVISIBLE
    return start[seen != 0], end[seen != 0]


@jit
def _described(data, start, end, table):
    """Hash, characters and classes of each span, as a layout has them for its words."""
    hashes, chars = np.zeros(len(start), np.uint64), np.zeros(len(start), np.int32)
    flags = np.zeros(len(start), np.uint16)
    for w in range(len(start)):
        hashes[w], chars[w] = hashed(data, start[w], end[w]), characters(data, start[w], end[w])
        i = start[w]
        while i < end[w]:
            point, width = decode(data, i)
            flags[w] |= table[point]
            i += width
    return hashes, chars, flags


@functools.cache
def _keys(language: str) -> np.ndarray:
    """Hashes of the stop words of a language, in lower case."""
    layout = Layout(pa.array([STOP_WORDS[language]]))
    return np.unique(lowered_hashes(layout, layout.words("space")))


def _stop_words(layout: CutByLanguage) -> pa.Array:
    """How many different stop words of its language a text has; null for a language without a list."""
    words = layout.words("english")
    hashes = lowered_hashes(layout, words)
    counts = np.zeros(len(layout), np.int64)
    unknown = np.zeros(len(layout), bool)
    for d, language in enumerate(layout.languages):
        language = "zh" if language in ("yue", "wuu") else language
        unknown[d] = language not in STOP_WORDS
        if not unknown[d] and language is not None:
            own = np.unique(hashes[words.bounds[d] : words.bounds[d + 1]])
            counts[d] = np.isin(own, _keys(language), assume_unique=True).sum()
    return layout.column(counts, unknown)
