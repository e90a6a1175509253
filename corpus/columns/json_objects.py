"""Rows of JSON as they stood: the text cut out of its object and put back, keys left out, every other byte as it was.

A row's object is kept as a string of JSON in which `null` stands for the text, which lies in `documents/` already; what
puts it back knows where, and how the text was spelt. Refuses nothing: a row that cannot be taken apart is kept whole.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, cast

DECODE = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 400 else None).raw_decode
NULL = "null"
SURROGATE = re.compile("[\ud800-\udfff]")
SPACE = " \t\r\n\ufeff"
read_string = cast(Callable[[str, int], tuple[str, int]], scanstring)
in_ascii, in_unicode = json.encoder.encode_basestring_ascii, json.encoder.encode_basestring


@dataclass(frozen=True)
class Member:
    """A key of an object and where it and its value stand in the object's text."""

    key: str
    begin: int
    value: int
    end: int


def members(text: str) -> Iterator[Member]:
    """The members of the object that a text of JSON is, in their order."""
    at = _past(text, text.index("{") + 1)
    while text[at] != "}":
        key, stop = read_string(text, at + 1)
        value = _past(text, _past(text, stop) + 1)
        end = DECODE(text, value)[1]
        yield Member(key, at, value, end)
        at = _past(text, end)
        if text[at] == ",":
            at = _past(text, at + 1)


def _past(text: str, at: int) -> int:
    while text[at] in SPACE:
        at += 1
    return at


@dataclass(frozen=True)
class Kept:
    """An object without its text.

    object   JSON, in which `null` stands where the text stood
    at       place of that `null`; None: nothing was cut out
    literal  the text as it was spelt, quotes and all
    escaped  whether the text was spelt in ASCII alone
    plain    whether the literal is what `spelt` makes of the value
    """

    object: str
    at: int | None = None
    literal: str | None = None
    escaped: bool = False
    plain: bool = False


def without_text(text: str, key: str | None, value: str | None) -> Kept:
    """An object's text with the value of a key cut out; `value` is what that key holds."""
    if key is None or value is None:
        return Kept(text)
    for escaped in (True,) if text.isascii() and not value.isascii() else (False, True):
        literal = in_ascii(value) if escaped else in_unicode(value)
        at = text.find(literal)
        if at >= 0 and text.find(literal, at + 1) < 0:
            rest = text[:at] + NULL + text[at + len(literal) :]
            if _holds_null(rest, key):
                return Kept(rest, at, literal, escaped, plain=True)
    found = [member for member in members(text) if member.key == key]
    if not found:
        return Kept(text)
    begin, end = found[-1].value, found[-1].end
    literal = text[begin:end]
    return Kept(text[:begin] + NULL + text[end:], begin, literal, literal.isascii())


def _holds_null(text: str, key: str) -> bool:
    """Whether the key holds null, once the text is cut: otherwise something else was."""
    try:
        return DECODE(text, _past(text, 0))[0].get(key, "") is None
    except (ValueError, RecursionError):
        return False


def spelt(text: str, escaped: bool) -> str:
    """A text as a string of JSON."""
    return in_ascii(text) if escaped or SURROGATE.search(text) else in_unicode(text)


def with_text(object: str, at: int | None, literal: str) -> str:
    """The object with its text put back."""
    return object if at is None else object[:at] + literal + object[at + len(NULL) :]


def selected(text: str, keep: Collection[str], drop: Collection[str], always: str | None = None) -> str:
    """The object with the keys of `keep` alone (all, where it is empty), without those of `drop`; `always` stays."""
    if not keep and not drop:
        return text
    parts: list[str] = []
    head, last = "", 0
    for number, member in enumerate(members(text)):
        between = text[last : member.begin] if number else ""
        head = head if number else text[: member.begin]
        last = member.end
        if member.key == always or ((not keep or member.key in keep) and member.key not in drop):
            parts += [between if parts else "", text[member.begin : member.end]]
    return head + "".join(parts) + text[last:] if last else text


def in_a_line(text: str) -> str:
    """The object in one line: what stood over several lines has blanks where they ended."""
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text


def decoded(text: str) -> dict[str, Any]:
    """The object that a text of JSON is."""
    found: dict[str, Any] = DECODE(text, _past(text, 0))[0]
    return found
