"""The families of signals that can be measured: their names, versions, columns and functions, in one plain table.

A family is one struct column of `signals`. Its version is raised when the same text gives other values; what was
measured by another version is then measured again. `measure` is the one pass over the text of a batch.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ...corpus.extensions import added
from ...corpus.store.errors import RequestError, unknown_name
from .. import pii
from ..words.layout import Layout
from . import by_language, c4, content, gopher, nemo, redpajama
from . import stop_words as languages

if TYPE_CHECKING:
    from ..urls import UrlRules

PIECE_BYTES = 4 << 20  # texts are laid out in pieces of about this size: the arrays stay in the cache


@dataclass(frozen=True)
class Family:
    """One struct column of signals."""

    name: str
    version: int
    columns: tuple[str, ...]  # `name` is float64, `name:int64` says otherwise, `name:spans` is a list of places
    measure: Callable[..., dict[str, pa.Array]]  # of a Layout, or of the plain column
    column: str = ""  # the column of `documents` that it takes as it is; by default it takes the laid-out text
    beside: tuple[str, ...] = ()  # columns of `documents` that it takes beside that
    made_with: str = ""  # fingerprint of the lists or the model it measures with
    held: pa.StructType | None = None  # of what is stored elsewhere and never measured: the type that it has

    @property
    def recorded(self) -> dict[str, Any]:
        """What the manifest of its table records: with another, it is measured again."""
        return {"family": self.name, "version": self.version} | ({"with": self.made_with} if self.made_with else {})

    @functools.cached_property
    def type(self) -> pa.StructType:
        if self.held is not None:
            return self.held
        fields = [column.partition(":") for column in self.columns]
        return pa.struct([(name, pii.SPANS if kind == "spans" else getattr(pa, kind or "float64")())
                          for name, _, kind in fields])  # fmt: skip

    def struct(self, columns: dict[str, pa.Array]) -> pa.StructArray:
        """What `measure` gave, as the family's column."""
        fields = [columns[field.name].cast(field.type) for field in self.type]
        return pa.StructArray.from_arrays(fields, fields=list(self.type))

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field("id", pa.string(), nullable=False), (self.name, self.type)])


_LINES = ("duplicate_lines", "duplicate_line_chars")
_PARAGRAPHS = ("duplicate_paragraphs", "duplicate_paragraph_chars")
_NGRAMS = (*(f"top_{n}gram" for n in gopher.TOP), *(f"duplicate_{n}gram" for n in gopher.DUPLICATE))
_MARKS = ("bullet_lines", "ellipsis_lines", "alpha_words", "stop_words:int64")
_SPLIT = ("word_count:int64", "mean_word_length", "hash_ratio", "ellipsis_ratio", *_MARKS)
_JOINT = ("word_count:int64", "mean_word_length", "symbol_ratio", *_MARKS)
_MEDIAN = ("word_count:int64", "median_word_length", "symbol_ratio", *_MARKS)


def _fineweb2(segmenter: str) -> Family:
    measured = functools.partial(by_language.fineweb2, segmenter=segmenter)
    made = by_language.made_with(segmenter)
    return Family("gopher@fineweb2", 1, by_language.COLUMNS, measured, beside=("language",), made_with=made)


_ALL = (
    Family("gopher@paper", 1, (*_SPLIT, *_LINES, *_PARAGRAPHS, *_NGRAMS), gopher.paper),
    Family("gopher@datatrove", 1, (*_SPLIT, *_LINES, *_PARAGRAPHS, *_NGRAMS), gopher.datatrove),
    Family("gopher@dolma", 1, (*_MEDIAN, *_LINES, *_NGRAMS), gopher.dolma),
    Family("gopher@dclm", 1, (*_JOINT, *_LINES, *_PARAGRAPHS, *_NGRAMS), gopher.dclm),
    _fineweb2(by_language.ICU),
    Family("c4@datatrove", 2, tuple(f"{name}:int64" for name in c4.COLUMNS), c4.datatrove),
    Family("c4@fineweb", 2, tuple(f"{name}:int64" for name in c4.COLUMNS), c4.fineweb),
    Family("c4@dolma", 1, tuple(f"{name}:int64" for name in c4.DOLMA), c4.dolma),
    Family("fineweb", 1, ("line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"), c4.quality),
    Family("text", 1, content.TEXT, content.text),
    Family("nemo", 2, nemo.NEMO, nemo.nemo),
    Family("redpajama", 2, redpajama.REDPAJAMA, redpajama.redpajama),
    Family("code", 1, content.CODE, content.code),
    Family("formulas", 1, content.FORMULAS, content.formulas),
    Family("questions", 1, content.QUESTIONS, content.questions),
    Family("stop_words", 1, languages.LANGUAGES, languages.stop_words),
    Family("pii", 4, tuple(f"{kind}:int64" for kind in pii.KINDS), pii.counts, "text"),
    Family("pii_spans", 3, ("found:spans",), pii.spans, "text"),
)
FAMILIES = {family.name: family for family in _ALL}


def all_families() -> dict[str, Family]:
    """Families of this package, of other packages and of plug-in files, by name."""
    given = added("signals", FAMILIES)
    for name, family in given.items():
        if not isinstance(family, Family) or family.name != name:
            raise RequestError(f"the signal {name!r} of a plug-in is no Family of that name")
    return {**FAMILIES, **given}


def families(names: Iterable[str], where: str = "", known: Mapping[str, Family] | None = None) -> list[Family]:
    """The families of these names, in the order of their names; an unknown one is refused."""
    known = all_families() if known is None else known
    for name in names:
        if name not in known:
            raise unknown_name("signal family", name, known, where)
    return [known[name] for name in sorted(set(names))]


EXTRA = "extra"  # the users' own columns, which rules read like signals


def extra_family(held: pa.StructType) -> Family:
    """The users' own columns as a family that rules may name: `extra.quality`."""
    return Family(EXTRA, 1, (), _never, held=held)


def _never(*_: Any) -> dict[str, pa.Array]:
    raise RequestError("extra holds columns that documents came with; nothing measures it")


def known_families(
    classifiers: Mapping[str, str] | None = None, url_rules: "UrlRules | None" = None, segmenter: str = by_language.ICU
) -> dict[str, Family]:
    """The families there are, with `classifier_NAME` for every model and `url` where there are lists."""
    from .. import classifiers as models
    from .. import urls

    known = all_families()
    if segmenter != by_language.ICU:
        known["gopher@fineweb2"] = _fineweb2(segmenter)
    for name, path in (classifiers or {}).items():
        made = models.model_checksum(path)
        score = functools.partial(models.score, path=path)
        known[f"classifier_{name}"] = Family(f"classifier_{name}", 1, ("score",), score, "text", made_with=made)
    if url_rules is not None:
        made = url_rules.fingerprint()
        urls.lists_of(url_rules.model_dump_json(), made)  # refuses what cannot be read before anything runs
        judge = functools.partial(urls.judge_all, rules=url_rules.model_dump_json(), digest=made)
        known["url"] = Family("url", 3, ("listed:int64", "rule:string", "entry:string"), judge, "url", made_with=made)
    return known


def measure_batch(batch: pa.RecordBatch, wanted: Iterable[Family]) -> dict[str, pa.StructArray]:
    """Every family of a batch of documents, from the columns that they take."""
    groups: dict[str, list[Family]] = {}
    measured: dict[str, pa.StructArray] = {}
    for family in wanted:
        groups.setdefault(family.column or "text", []).append(family)
    for column, group in groups.items():
        beside = {name: batch[name] for family in group for name in family.beside}
        measured |= measure(batch[column], group, beside)
    return measured


def measure(
    text: pa.Array, wanted: Iterable[Family], beside: Mapping[str, pa.Array] | None = None
) -> dict[str, pa.StructArray]:
    """One struct array a family, a row a text, in one pass: what families share is computed once.

    text     (D,) string
    beside   what some families take beside it, (D,) each; a column that is not there is null
    returns  family name -> (D,) struct of its columns; every value of a null text is null
    """
    wanted = list(wanted)
    rows: dict[str, list[pa.StructArray]] = {family.name: [] for family in wanted}
    at = 0
    absent = pa.nulls(len(text), pa.string())
    for piece in pieces(text):
        layout = Layout(piece)
        for family in wanted:
            others = [(beside or {}).get(name, absent)[at : at + len(piece)] for name in family.beside]
            columns = family.measure(piece if family.column else layout, *others)
            rows[family.name].append(family.struct(columns))
        at += len(piece)
    return {
        family.name: pa.concat_arrays(rows[family.name]) if rows[family.name] else pa.array([], family.type)
        for family in wanted
    }


def pieces(text: pa.Array) -> Iterator[pa.Array]:
    """Slices of about `PIECE_BYTES`; a longer text is a slice of its own."""
    text = text.cast(pa.large_string())
    if not len(text):
        return
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    begin = 0
    while begin < len(text):
        end = int(np.searchsorted(offsets, offsets[begin] + PIECE_BYTES, side="right")) - 1
        end = min(max(end, begin + 1), len(text))
        yield text[begin:end]
        begin = end
