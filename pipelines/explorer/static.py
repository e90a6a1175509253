"""The explorer's pages as files, for somebody who has no workspace: every tab, and documents of a sample.

The same pages as the server's, followed from link to link; what is not written becomes plain text. They hold no script
and ask for nothing, so that they open from a folder or a mail. Refuses a folder that holds something else.
"""

import os
import re
from base64 import b64encode
from collections import deque
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import parse_qs, unquote

from ...corpus.store.errors import RequestError
from .page import TABS, style_sheet
from .server import Explorer

MARK = ".gristmill-pages"  # a file in a folder that was written by this
LINK = re.compile(r'<a href="([^"]*)"([^>]*)>')
FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
HEAD = re.compile(r"<base href=[^>]*>")
BASE = "/pages/"
OTHERS = ("signals", "cluster", "pair")  # pages below tabs that are followed, beside single documents
MOST_OTHERS = 120


def write_pages(explorer: Explorer, output: str, documents: int) -> dict[str, Any]:
    """Write the pages. Returns {pages, output, first}."""
    if "://" in output:
        raise RequestError(f"--static {output}: pages are written into a local folder")
    if os.path.exists(output) and not os.path.isdir(output):
        raise RequestError(f"--static {output} is a file; give a folder")
    if os.path.isdir(output) and os.listdir(output) and not os.path.exists(os.path.join(output, MARK)):
        raise RequestError(f"--static {output} holds other files; give a new folder")
    pages = _followed(explorer, documents)
    os.makedirs(output, exist_ok=True)
    with open(os.path.join(output, MARK), "w", encoding="utf-8") as file:
        file.write("pages of gristmill explore\n")
    names = {address: _name(number, address) for number, address in enumerate(pages)}
    for address, text in pages.items():
        with open(os.path.join(output, names[address]), "w", encoding="utf-8", newline="\n") as file:
            file.write(_linked(text, names))
    return {"pages": len(pages), "output": output, "first": os.path.join(output, names["funnel"])}


def _followed(explorer: Explorer, documents: int) -> dict[str, str]:
    """address -> page, of the tabs and of what they link to, the first documents first."""
    style = style_sheet()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    head = (
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">"
        f"<style>{style}</style>"
    )
    waiting: deque[str] = deque(TABS)
    pages: dict[str, str] = {}
    seen = set(waiting)
    left = {"document": documents, "others": MOST_OTHERS}
    while waiting:
        address = waiting.popleft()
        path, _, query = address.partition("?")
        params = parse_qs(query, keep_blank_values=True)
        answer = explorer.answer(unquote(path), params, BASE, static=True, frame={"head": head})
        if answer.status != 200 and path not in TABS:
            continue
        pages[address] = answer.body.decode()
        for found in LINK.finditer(pages[address]):
            target = unescape(found[1])
            kind = target.split("/")[0].split("?")[0]
            which = "document" if kind == "document" else "others" if kind in OTHERS and "export=" not in target else ""
            if target in seen or not which or left[which] <= 0 or "#" in target:
                continue
            seen.add(target)
            left[which] -= 1
            waiting.append(target)
    return pages


def _name(number: int, address: str) -> str:
    """A file name that says what it is of and that no text can lead elsewhere."""
    path = address.split("?")[0]
    return (
        f"{path}.html"
        if path in TABS and "?" not in address
        else f"{re.sub('[^a-z]', '', path.split('/')[0])}-{number}.html"
    )


def _linked(text: str, names: dict[str, str]) -> str:
    """The page with links to files; a link to what is not written becomes a span, a form that asks a server goes."""

    def replaced(match: re.Match[str]) -> str:
        target = unescape(match[1])
        if target.endswith("#main"):
            return f'<a href="#main"{match[2]}>'
        known = names.get(target)
        return f'<a href="{known}"{match[2]}>' if known else "<a>"

    return HEAD.sub("", LINK.sub(replaced, FORM.sub("", text)))
