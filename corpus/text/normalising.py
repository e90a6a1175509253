"""Text as the rest of the program may expect it: NFC, no control characters, `\\n` line ends, paragraphs kept.

Layout is touched only where asked (extracted pages): spaces at line ends go, more than one empty line becomes one.
Mojibake repair needs ftfy and is off by default, because it may change text that only looks broken.
"""

import re
import unicodedata
from importlib.util import find_spec
from typing import Any

from ..store.errors import MissingExtra
from .charsets import mend

CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff]")
LINE_ENDS = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")
OTHER_ENDS = ("\r", "\x0c", "\x85", "\u2028", "\u2029")
TRAILING = re.compile(r"(?<![ \t\u00a0])[ \t\u00a0]++(?=\n)")  # one attempt a run: a run may be the whole text
TRAILED = (" \n", "\t\n", "\u00a0\n")
EMPTY_LINES = re.compile(r"\n{3,}")


def normalise(text: str, layout: bool, repair: bool = False) -> str:
    """The text in normal form; `layout` also settles white space, `repair` mends mojibake first."""
    if repair:
        text = _repair(text)
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if any(end in text for end in OTHER_ENDS):
        text = LINE_ENDS.sub("\n", text)
    if not text.replace("\n", "").isprintable():
        text = CONTROL.sub("", text)
    if layout:
        if any(space in text for space in TRAILED):
            text = TRAILING.sub("", text)
        if "\n\n\n" in text:
            text = EMPTY_LINES.sub("\n\n", text)
        text = text.rstrip(" \t\u00a0").strip("\n")
    return text


def as_documents_are(value: Any, repair: bool = False) -> Any:
    """A row of a list, a set or a target with every text in it in the form that documents are in.

    Composed, `\\n` line ends, no control characters, U+FFFD for half of a surrogate pair; white space stays. So that
    what is compared with documents, or measured beside them, differs from them in what it says alone.
    """
    if isinstance(value, str):
        return normalise(mend(value), layout=False, repair=repair)
    if isinstance(value, dict):
        return {key: as_documents_are(one, repair) for key, one in value.items()}
    if isinstance(value, list):
        return [as_documents_are(one, repair) for one in value]
    return value


def check_repair() -> None:
    """Refuse before any work where ftfy is not installed."""
    if find_spec("ftfy") is None:
        raise MissingExtra("ftfy", "languages")


def _repair(text: str) -> str:
    import ftfy

    return ftfy.fix_encoding(text)
