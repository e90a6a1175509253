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
    "Image|Photo|Picture|Video|Audio|Music|Podcast|Media|Comment|Review|Rating|Event|Person|Organization|Software|"
    "Dataset|3DModel|Offer|Brand|Place|Address|Breadcrumb|ListItem|Map|Episode|Clip",
)
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


def _parsed(script: bytes) -> Any:
    text = script.decode("utf-8", "replace").strip()
    text = text.removeprefix("<!--").removesuffix("-->").removeprefix("//<![CDATA[").removesuffix("//]]>").strip(" ;\n")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _objects(thing: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > 6:
        return
    if isinstance(thing, list):
        for one in thing[:200]:
            yield from _objects(one, depth + 1)
    elif isinstance(thing, dict):
        if any(_NOT_OF_THE_PAGE.search(kind) for kind in types(thing)):
            return
        yield thing
        for key in _NESTED:
            if isinstance(thing.get(key), (dict, list)):
                yield from _objects(thing[key], depth + 1)


def types(thing: dict[str, Any]) -> list[str]:
    """Names of an object's types, without what stands before the last slash."""
    kinds = thing.get("@type")
    return [str(kind).rsplit("/", 1)[-1] for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind]


def values(things: Sequence[dict[str, Any]], key: str) -> Iterator[str]:
    """Every text that the objects state under a key; of an object its address or name."""
    for thing in things:
        held = thing.get(key)
        for one in held if isinstance(held, list) else [held]:
            if isinstance(one, dict):
                one = one.get("@id") or one.get("url") or one.get("name")
            if isinstance(one, str) and one.strip():
                yield one.strip()


def texts(scripts: Sequence[bytes]) -> list[str]:
    """Paragraphs of content in JSON-LD: bodies of articles, descriptions of products, questions with their answers."""
    found: list[str] = []
    for thing in of_the_page(scripts, (b"articleBody", b"Product", b"QAPage", b"FAQPage", b"Question")):
        kinds = types(thing)
        if isinstance(thing.get("articleBody"), str):
            found.append(plain(thing["articleBody"]))
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
