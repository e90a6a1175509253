"""JSON-LD of a page: the objects that describe the page itself, and the text that stands in them alone.

Objects of pictures, recordings, comments, events, people and data are passed over, because their dates and licences are
not those of the page. What is no JSON is no data: sites write much that is broken, and a page is not less for it.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

MOST_BYTES = 1 << 20  # a larger script is not read
_NOT_OF_THE_PAGE = re.compile(
    "Image|Photo|Picture|Video|Audio|Music|Podcast|(?<!Social)Media|Comment|Review(?!NewsArticle)|Rating|Event|Person|"
    "Organization|Software|Dataset|3DModel|Offer|Brand|Place|Address|Breadcrumb|ListItem|Map|Episode|Clip",
)
_BEGUN = re.compile(
    r"(?:\s|\ufeff|<!--|<!\[CDATA\[|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/)*"
)  # what scripts are wrapped in
_ENDED = re.compile(r"(?:\s|;|-->|\]\]>|//\s*\]\]>|//\s*-->|/\*\s*\]\]>\s*\*/)*\Z")
_PREFIXED = re.compile(r"(?:https?://schema\.org/|schema:)")
_NESTED = ("@graph", "mainEntity", "mainEntityOfPage", "itemListElement")
_TAG = re.compile(r"<[^>]{1,400}>")
_BREAK = re.compile(r"<(?:br|/p|/li|/div|/h\d|/tr)\b[^>]{0,80}>", re.IGNORECASE)


def of_the_page(scripts: Sequence[bytes], wanted: Sequence[bytes]) -> list[dict[str, Any]]:
    """The objects that describe the page, of the scripts that hold one of the words wanted."""
    found: list[dict[str, Any]] = []
    for script in scripts:
        if len(script) <= MOST_BYTES and any(word in script for word in wanted):
            found.extend(_objects(_parsed(script), 0))
    return found


def is_other(kind: str) -> bool:
    """Whether a type of schema.org, by its name or address, is of something that a page shows and not of a page."""
    return _NOT_OF_THE_PAGE.search(short_name(kind)) is not None


def short_name(name: str) -> str:
    """A name of schema.org without what stands before it."""
    return _PREFIXED.sub("", name).rsplit("/", 1)[-1]


def _parsed(script: bytes) -> Any:
    text = script.decode("utf-8", "replace")
    text = text[_BEGUN.match(text).end() :]  # type: ignore[union-attr]  # it matches everywhere
    text = text[: _ENDED.search(text, max(0, len(text) - 200)).start()]  # type: ignore[union-attr]
    for form in (text, html.unescape(text)) if "&quot;" in text and '":' not in text else (text,):
        try:
            return json.loads(form, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _objects(thing: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > 6:
        return
    if isinstance(thing, list):
        for one in thing[:200]:
            yield from _objects(one, depth + 1)
    elif isinstance(thing, dict):
        if any(map(is_other, types(thing))):
            return
        if any(map(_PREFIXED.match, thing)):
            thing = {short_name(key): value for key, value in thing.items()}
        yield thing
        for key in _NESTED:
            if isinstance(thing.get(key), (dict, list)):
                yield from _objects(thing[key], depth + 1)


def types(thing: dict[str, Any]) -> list[str]:
    """Names of an object's types, without what stands before them."""
    kinds = thing.get("@type")
    return [short_name(str(kind)) for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind]


def values(things: Sequence[dict[str, Any]], key: str) -> Iterator[str]:
    """Every text that the objects state under a key; of an object its address or name."""
    for thing in things:
        held = thing.get(key)
        for one in held if isinstance(held, list) else [held]:
            if isinstance(one, dict):
                one = one.get("@value") or one.get("@id") or one.get("url") or one.get("name")
            if isinstance(one, str) and one.strip():
                yield one.strip()


def texts(scripts: Sequence[bytes]) -> list[str]:
    """Paragraphs of content in JSON-LD: bodies of articles, descriptions of products, questions with their answers."""
    found: list[str] = []
    for thing in of_the_page(scripts, (b"articleBody", b"Product", b"QAPage", b"FAQPage", b"Question")):
        kinds = types(thing)
        if body := "\n".join(filter(None, map(plain, values([thing], "articleBody")))):
            found.append(body)
        elif any(kind in ("Product", "ProductGroup") for kind in kinds):
            found.append(plain(thing.get("description")))
        elif "Question" in kinds:
            answers = [
                one
                for key in ("acceptedAnswer", "suggestedAnswer")
                for one in (thing.get(key) if isinstance(thing.get(key), list) else [thing.get(key)])  # type: ignore[union-attr]
                if isinstance(one, dict)
            ]
            told = [plain(one.get("text")) for one in answers]
            if any(told):
                found += [plain(thing.get("text")) or plain(thing.get("name")), *told]
    return [text for text in found if text]


def plain(text: Any) -> str:
    """A value's text without markup, its paragraphs on lines of their own; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    if "&lt;" in text:
        text = html.unescape(text)
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", text)) if "<" in text else text)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
