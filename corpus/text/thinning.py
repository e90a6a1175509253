"""Leave out of a page's source what nothing here reads, before it is parsed: two thirds of most pages.

Scripts, styles and comments go, and attributes that say nothing of content; elements and text stay as they are, so the
parsed tree is the same but for those. Tags are found by the rules of the HTML standard's tokenizer in one compiled
pass, which also notes what `metadata.py` asks for: links, licence links, structured data, the language. The bytes must
be UTF-8; a page in another charset is re-encoded first.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from functools import cache
from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from ..languages.tags import primary_language
from .markup import number
from .scanning import SCRIPT, bare, by_eight, comment_end, find, holds, index, name, raw_end, space, spelt, value_of


class Thin(NamedTuple):
    """A page's source without what nobody reads, and what was seen on the way."""

    data: bytes
    links: int  # `a` elements with an address
    licensed: bool  # some address or relation names a licence
    timed: bool  # `time` elements, or a property that states a date
    dated: tuple[str, ...]  # those of `DATED` that classes hold, in whatever case
    pictured: bool  # images whose address tells of a formula
    language: str | None  # of the `html` element
    structured: tuple[bytes, ...]  # contents of JSON-LD scripts


def thin(source: bytes, addresses: bool = False, noscript: bool = True) -> Thin:
    """The thin source; with `addresses` the links keep theirs.

    noscript   turn each `noscript` of the body that holds `NOSCRIPT_CHARS` of text into `<div class="noscript">`
    """
    data = np.frombuffer(source, np.uint8)
    out = np.empty(len(source) + len(source) // 2 + 16, np.uint8)
    facts, spans = np.zeros(FACTS, np.int64), np.zeros((16, 2), np.int64)
    size = _thin(data, by_eight(source), addresses, noscript, _attribute_kinds(), out, facts, spans)
    start, end = facts[_LANGUAGE : _LANGUAGE + 2].tolist()
    return Thin(
        out[:size].tobytes(),
        int(facts[_LINKS]),
        bool(facts[_LICENCE]),
        bool(facts[_TIME]),
        tuple(word for bit, word in enumerate(DATED) if facts[_CLASSES] >> bit & 1),
        bool(facts[_PICTURE]),
        primary_language(source[start:end].decode("ascii", "replace")),
        tuple(source[a:b] for a, b in spans[: facts[_SPANS]].tolist()),
    )


FACTS = 10
_LINKS, _LICENCE, _TIME, _PICTURE, _SPANS, _LANGUAGE, _BODY, _SHOWN, _CLASSES = 0, 1, 2, 3, 4, 5, 7, 8, 9
DATED = ("date", "publish", "posted", "time")  # in classes of dates
DRAWING_BYTES = 1 << 16  # a longer drawing goes through the parser
NOSCRIPT_CHARS = 120  # visible characters, spaces not counted: what asks for JavaScript or counts visits has fewer
_KEEP, _META, _HREF, _SRC, _STYLE, _REL, _TYPE, _LANG, _PROPERTY, _CONTENT, _CLASS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
_TABLE = 241  # no two of the names below meet in it
_ATTRIBUTES = {
    _KEEP: "id role hidden aria-hidden itemtype typeof encoding display mode alttext alt colspan rowspan start "
    "datetime open close",
    _META: "name property http-equiv",
    _HREF: "href",
    _SRC: "src",
    _STYLE: "style",
    _REL: "rel",
    _TYPE: "type",
    _LANG: "lang xml:lang",
    _PROPERTY: "itemprop",
    _CONTENT: "content",
    _CLASS: "class",
}


@cache
def _attribute_kinds() -> np.ndarray:
    """(241, 2) number and kind of the attribute whose number falls there."""
    table = np.zeros((_TABLE, 2), np.int64)
    for kind, names in _ATTRIBUTES.items():
        for one in names.split():
            at = number(one) % _TABLE
            assert not table[at, 1], f"{one} meets another name"
            table[at] = number(one), kind
    return table


_A, _HTML, _META_TAG, _STYLE_TAG, _TIME_TAG, _TITLE, _TEXTAREA, _PLAIN, _SVG, _MATH, _NOSCRIPT, _LINK_TAG, _FOREIGN = (
    number(one)
    for one in "a html meta style time title textarea plaintext svg math noscript link foreignobject".split()
)
# elements that no head holds
_BODIED = np.array(
    sorted(number(one) for one in "body div p header main section article nav table form h1 a ul".split())
)
_EMPTY_SVG = np.frombuffer(b"<svg></svg>", np.uint8)
_SHOWN_AS = np.frombuffer(b'<div class="noscript">', np.uint8)
_EMPTIED = np.array(sorted(number(one) for one in "iframe noembed noframes xmp".split()))
# elements that end an unclosed `svg` or `math`
_BREAKOUT = np.array(sorted(number(one) for one in "body div p span ul ol li table img h1 h2 h3 h4 br".split()))
_LICENS, _PUBLIC = np.frombuffer(b"licens", np.uint8), np.frombuffer(b"publicdomain", np.uint8)
_VISIBILITY = np.frombuffer(b"visib", np.uint8)
_LATEX, _NONE, _DATE = (
    np.frombuffer(b"latex", np.uint8),
    np.frombuffer(b"none", np.uint8),
    np.frombuffer(b"date", np.uint8),
)
_PUBLISH, _POSTED, _TIMED = (np.frombuffer(word.encode(), np.uint8) for word in DATED[1:])
_LD, _MATHS = np.frombuffer(b"ld+json", np.uint8), np.frombuffer(b"math/", np.uint8)
_MATH_SCRIPT, _LD_SCRIPT = 1, 2


@compiled
def _copy(data, start, end, out, o):
    for i in range(start, end):
        out[o + i - start] = data[i]
    return o + end - start


@compiled
def _thin(data, words, addresses, noscript, kinds, out, facts, spans):
    """Write the thin source to `out` and return its size."""
    data, words, kinds = bare(data), bare(words), bare(kinds)
    out, facts, spans = bare(out), bare(facts), bare(spans)
    i, o, foreign, size = 0, 0, 0, len(data)
    while i < size:
        c = data[i]
        if c != 60 or i + 1 >= size:
            out[o] = c
            o += 1
            i += 1
            continue
        after = data[i + 1]
        if 97 <= (after | 32) <= 122:
            value, at = name(data, i + 1)
            begin = o
            if value == _NOSCRIPT and noscript and facts[_BODY] and not facts[_SHOWN] and not foreign:
                past = _attributes(data, at, 0, False, kinds, out, o, facts)[0]
                if past < 0:
                    return begin
                if _holds_text(data, past, raw_end(data, words, past, value)):
                    facts[_SHOWN] = 1
                    o = _copy(_SHOWN_AS, 0, len(_SHOWN_AS), out, o)
                    i = past
                    continue
            if value == _SVG and not foreign:
                past = _drawing_end(data, words, at)
                if past > 0:  # a drawing, of which nothing is read
                    i, o = past, _copy(_EMPTY_SVG, 0, len(_EMPTY_SVG), out, begin)
                    continue
            o = _copy(data, i, at, out, o)
            i, o, script, closed = _attributes(data, at, value, addresses, kinds, out, o, facts)
            if i < 0:
                return begin  # the source ends within the tag, which is then none
            out[o] = 62
            o += 1
            if not facts[_BODY] and index(_BODIED, value) >= 0:
                facts[_BODY] = 1
            if value in (_SVG, _MATH):
                foreign += not closed
            elif foreign and index(_BREAKOUT, value) >= 0:
                foreign = 0
            elif not (foreign and closed):
                i, o = _content(data, words, i, value, script, begin, out, o, facts, spans)
        elif after == 47:
            i, o, foreign = _end_tag(data, i, kinds, out, o, facts, foreign)
        elif after == 33 and i + 3 < size and data[i + 2] == 45 and data[i + 3] == 45:
            i = comment_end(data, words, i + 4)
            o = _gap(out, o)
        elif after == 33 or after == 63:  # doctype, CDATA, instructions: as they are
            while i < size and data[i] != 62:
                out[o] = data[i]
                o += 1
                i += 1
        else:
            out[o] = c
            o += 1
            i += 1
    return o


@compiled
def _drawing_end(data, words, i):
    """The place after the end tag of an `svg` whose name ends at `i`; -1 where other markup may stand in it."""
    size, limit = len(data), min(len(data), i + DRAWING_BYTES)
    while i < limit:
        i = find(data, words, i, 60)
        if i + 4 >= size:
            return -1
        if data[i + 1] == 33:  # a comment may hold anything
            return -1
        end = data[i + 1] == 47
        value, at = name(data, i + 1 + end)
        if value == _SVG:
            if not end or at >= size or data[at] != 62:
                return -1
            return at + 1
        if value == _FOREIGN or value in (SCRIPT, _STYLE_TAG, _MATH) or index(_BREAKOUT, value) >= 0:
            return -1
        i = at
    return -1


@compiled
def _holds_text(data, start, end):
    """Whether so much stands between tags in data[start:end]."""
    seen, tag = 0, False
    for i in range(start, end):
        c = data[i]
        if c == 60:
            tag = True
        elif c == 62:
            tag = False
        elif not tag and c > 32 and (c < 128 or c >= 192):
            seen += 1
            if seen >= NOSCRIPT_CHARS:
                return True
    return False


@compiled
def _gap(out, o):
    """An empty comment in place of what was left out, where its neighbours might join to something else."""
    if o and out[o - 1] > 32 and out[o - 1] != 62:
        out[o], out[o + 1], out[o + 2], out[o + 3], out[o + 4] = 60, 33, 45, 45, 62
        return o + 5
    return o


@compiled
def _end_tag(data, i, kinds, out, o, facts, foreign):
    """Copy the end tag at `i` without its attributes. Returns the place after it, that in `out`, and `foreign`."""
    if i + 2 >= len(data) or not 97 <= (data[i + 2] | 32) <= 122:  # literal text, or a comment of sorts
        return i + 2, _copy(data, i, min(i + 2, len(data)), out, o), foreign
    begin = o
    value, at = name(data, i + 2)
    if value == _NOSCRIPT and facts[_SHOWN]:
        facts[_SHOWN] = 0
        out[o], out[o + 1], out[o + 2], out[o + 3], out[o + 4] = 60, 47, 100, 105, 118  # </div
        o += 5
    else:
        o = _copy(data, i, at, out, o)
    i = at + 1
    if at >= len(data) or data[at] != 62:  # attributes, which say nothing in an end tag
        i, _, _, _ = _attributes(data, at, 0, False, kinds, out, o, facts)
        if i < 0:
            return len(data), begin, foreign
    out[o] = 62
    if foreign and value in (_SVG, _MATH):
        foreign -= 1
    return i, o + 1, foreign


@compiled
def _content(data, words, i, value, script, begin, out, o, facts, spans):
    """What follows the start tag of an element whose content is not markup: passed over, or copied as it is."""
    if value in (SCRIPT, _STYLE_TAG):
        end = raw_end(data, words, i, value)
        if script == _MATH_SCRIPT:
            return end, _copy(data, i, end, out, o)
        if script == _LD_SCRIPT and facts[_SPANS] < len(spans):
            spans[facts[_SPANS]] = i, end
            facts[_SPANS] += 1
        while end < len(data) and data[end] != 62:
            end += 1
        return end + 1, _gap(out, begin)
    if value == _TITLE:
        end = raw_end(data, words, i, value)
        return end, _copy(data, i, end, out, o)
    if value == _TEXTAREA or index(_EMPTIED, value) >= 0:
        return raw_end(data, words, i, value), o
    if value == _PLAIN:
        return len(data), _copy(data, i, len(data), out, o)
    if value == _TIME_TAG:
        facts[_TIME] = 1
    return i, o


@compiled
def _attributes(data, i, tag, addresses, kinds, out, o, facts):
    """Copy the attributes that count from `i` to the tag's `>`.

    Returns the place after the `>` (-1: there is none), that in `out`, the kind of script, and whether `/` closed it.
    """
    size, script = len(data), 0
    while True:
        while i < size and (space(data[i]) or (data[i] == 47 and not (i + 1 < size and data[i + 1] == 62))):
            i += 1
        if i >= size:
            return -1, o, script, False
        if data[i] == 62:
            return i + 1, o, script, False
        if data[i] == 47:  # the one before >
            out[o], out[o + 1] = 32, 47
            return i + 2, o + 2, script, True
        start, number_, letters = i, 0, 0
        while i < size and not space(data[i]) and data[i] != 47 and data[i] != 62 and (data[i] != 61 or i == start):
            c = data[i]
            if letters < 12:
                number_ = spelt(number_, c)
            letters += 1
            i += 1
        stop, first, last, i = value_of(data, i)
        if i > size:
            return -1, o, script, False
        at = number_ % _TABLE
        kind = kinds[at, 1] if kinds[at, 0] == number_ and letters <= 12 else 0
        if kind == 0 or tag == 0:
            continue
        if kind == _TYPE and tag == SCRIPT:
            script = _LD_SCRIPT if holds(data, first, last, _LD) else 0
            script = _MATH_SCRIPT if holds(data, first, last, _MATHS) else script
        if kind == _LANG and tag == _HTML and not facts[_LANGUAGE]:
            facts[_LANGUAGE], facts[_LANGUAGE + 1] = first, last
        if _counts(data, first, last, kind, tag, addresses, facts):
            out[o] = 32
            o = _copy(data, start, stop, out, o + 1)


@compiled
def _of_a_file(data, first, last):
    """Whether an address names a style sheet, as those of most links do."""
    for i in range(max(first, last - 60), last - 3):
        if data[i] == 46 and (data[i + 1] | 32 == 99 and data[i + 2] | 32 == 115 and data[i + 3] | 32 == 115):
            return True  # .css
    return False


@compiled
def _words_of_dates(data, first, last):
    """A bit for each of `DATED` that data[first:last] holds."""
    bits = 0
    for i in range(first, last - 3):
        c, after = data[i] | 32, data[i + 1] | 32
        if c == 100 and after == 97:
            bits |= holds(data, i, min(i + 4, last), _DATE)
        elif c == 112 and after == 117:
            bits |= holds(data, i, min(i + 7, last), _PUBLISH) << 1
        elif c == 112 and after == 111:
            bits |= holds(data, i, min(i + 6, last), _POSTED) << 2
        elif c == 116 and after == 105:
            bits |= holds(data, i, min(i + 4, last), _TIMED) << 3
    return bits


@compiled
def _counts(data, first, last, kind, tag, addresses, facts):
    """Whether an attribute of that kind is read by anyone, given its value data[first:last]."""
    if kind == _KEEP:
        return True
    if kind == _CLASS:
        facts[_CLASSES] |= _words_of_dates(data, first, last)
        return True
    if kind == _META:
        return tag == _META_TAG
    if kind == _HREF:
        if tag == _LINK_TAG:
            return last - first < 2000 and not _of_a_file(data, first, last)
        facts[_LINKS] += tag == _A
        licence = holds(data, first, last, _LICENS) or holds(data, first, last, _PUBLIC)
        facts[_LICENCE] |= licence
        return licence or (addresses and tag == _A)
    if kind == _REL:
        if tag == _LINK_TAG:
            facts[_LICENCE] |= holds(data, first, last, _LICENS)
            return True
        licence = holds(data, first, last, _LICENS)
        facts[_LICENCE] |= licence
        return licence
    if kind == _SRC:
        latex = holds(data, first, last, _LATEX)
        facts[_PICTURE] |= latex
        return latex
    if kind == _STYLE:
        return holds(data, first, last, _NONE) or holds(data, first, last, _VISIBILITY)
    if kind == _TYPE:
        return tag == SCRIPT
    if kind == _PROPERTY:
        facts[_TIME] |= holds(data, first, last, _DATE)
        return True
    if kind == _CONTENT:
        return tag == _META_TAG or last - first <= 40
    return False
