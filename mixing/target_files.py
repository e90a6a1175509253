"""Targets that are files: a benchmark, or any text that a mixture is wanted to be good at, as held-out sets of proxies.

A file is read by `corpus.readers.texts`: rows of `training.targets` formats (a question and its right answer), rows
with a `text`, or plain text. What is measured is bits per byte of the right answer behind its question, of all of a
text that has none. Items are divided once, by the hash of what they say, into a searched half, which proxies of the
search are measured on, and a judged half, which only the last measurement sees. Equal items fall into the same half.

Refuses a row of no known form by its place, a name that is given twice, and a file whose items leave a half empty.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..corpus.readers.text_names import stem
from ..corpus.readers.texts import TextRow, read_rows
from ..corpus.store.errors import RequestError, WorkspaceError
from ..corpus.store.shards import filesystem
from ..corpus.store.workspace import Workspace
from ..proxy_models.fleets.pool import HeldOutTokens
from ..training.data.overlap import Overlap, overlap
from ..training.data.shards import TokenFacts, domains, open_tokens
from ..training.data.tokenizer import load_tokenizer, token_facts
from ..training.targets import FORMATS, Item, encode_pairs, item_of
from .settings import HALF_TOKENS as HALF_TOKENS

SEARCHED, JUDGED = "searched", "judged"


def read_items(path: str, option: str = "--target") -> list[Item]:
    """The different items of a file, in the order of the hash of what they say."""
    items = all_items(path, option)
    empty = [half for half, part in halves(items).items() if not part]
    if empty:
        raise RequestError(
            f"{option} {path}: its {len(items)} different items leave the {empty[0]} half empty; one half is searched "
            f"by and the other judges, so it takes more items"
        )
    return items


def all_items(path: str, option: str = "--target") -> list[Item]:
    """The same, however few there are."""
    rows = read_rows(path, option)
    keys = _form(rows, path, option)
    found = {_said(item): item for row in rows if (item := _item(row, keys, option)) is not None}
    return [item for _, item in sorted(found.items())]


def trained_on(workspace: Workspace, files: Mapping[str, str]) -> dict[str, Overlap]:
    """Name of a target -> how much of its file (name -> path) stands in what the workspace trains on: of a text all of
    it, of a question the question with its right answer. Empty without files or tokens."""
    names = domains(workspace)
    if not files or not names:
        return {}
    train = [open_tokens(workspace, name) for name in names]
    tokenizer = tokenizer_of(workspace, train[0].facts)
    found = {}
    for name, path in files.items():
        texts = [item.context + item.continuations[item.gold] for item in all_items(path)]
        encoded = tokenizer.encode_batch_fast([text.strip() for text in texts], add_special_tokens=False)
        found[name] = overlap([np.array(one.ids, np.int64) for one in encoded], train)
    return found


def tokenizer_of(workspace: Workspace, facts: TokenFacts) -> Tokenizer:
    """The workspace's tokenizer. WorkspaceError where it is another than the one that the tokens were made with."""
    path = workspace.path("tokenizer", "tokenizer.json")
    fs, place = filesystem(path)
    if not fs.exists(place):
        raise WorkspaceError(f"{path} is gone; a target that is a file has to be cut by it: run tokenize --force")
    with fs.open(place, "rb") as file:
        text = bytes(file.read()).decode()  # type: ignore[arg-type]
    if token_facts(text).tokenizer != facts.tokenizer:
        raise WorkspaceError(f"{path} is not the tokenizer that the tokens were made with; run tokenize --force")
    return load_tokenizer(text)


def _said(item: Item) -> str:
    said = "\0".join((item.context, *item.continuations, str(item.gold)))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _form(rows: Sequence[TextRow], path: str, option: str) -> tuple[str, ...] | None:
    """The keys of its format, also where rows have a text beside them; None for text."""
    first = rows[0].content
    if isinstance(first, str):
        return None
    keys = next((keys for keys in FORMATS if set(keys) <= first.keys()), None)
    if keys is None and "text" in first:
        return None
    if keys is None:
        known = "; ".join(", ".join(keys) for keys in FORMATS)
        raise RequestError(f"{option} {path} has the keys {sorted(first)}; known are text; {known}")
    return keys


def _item(row: TextRow, keys: tuple[str, ...] | None, option: str) -> Item | None:
    if isinstance(row.content, str):
        return Item("", (row.content,))
    if keys is not None:
        return item_of(f"{option} {row.place}", row.content, keys)
    if "text" not in row.content:
        raise RequestError(f'{option} {row.place} has no "text", which the first row has')
    text = row.content["text"]
    if text is not None and not isinstance(text, str):
        raise RequestError(f'{option} {row.place}: "text" is {type(text).__name__}, not text')
    return Item("", (text.strip(),)) if text and text.strip() else None


def halves(items: Sequence[Item]) -> dict[str, list[Item]]:
    """The items of each half, by a bit of their own hash: an item stays where it is whatever others come or go."""
    odd = [int(_said(item)[-1], 16) % 2 == 1 for item in items]
    return {
        SEARCHED: [item for item, other in zip(items, odd, strict=True) if not other],
        JUDGED: [item for item, other in zip(items, odd, strict=True) if other],
    }


def held_out(
    name: str, items: Sequence[Item], tokenizer: Tokenizer, facts: TokenFacts, most: int = HALF_TOKENS
) -> HeldOutTokens:
    """The first items as a held-out set of `most` measured tokens, or of all there are where those are fewer."""
    pairs = [(item.context, item.continuations[item.gold]) for item in items]
    parts, heads, n_bytes, measured = [], [], 0, 0
    for (_, text), (head, end) in zip(pairs, encode_pairs(tokenizer, pairs), strict=True):
        if measured >= most:
            break
        if not end:
            continue
        parts.append(np.array([facts.bos, *head, *end], facts.dtype))
        heads.append(1 + len(head))
        n_bytes += len(text.encode())
        measured += len(end)
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    tokens = np.concatenate(parts) if parts else np.zeros(0, facts.dtype)
    return HeldOutTokens(name, tokens, n_bytes, offsets, np.array(heads, np.int64))


def told_of(found: Mapping[str, HeldOutTokens], items: int, path: str, most: int = HALF_TOKENS) -> dict[str, Any]:
    """What a report says of a target file: items, and of each half the tokens and bytes measured; `short`: the
    halves that have fewer tokens than `most`."""
    parts: dict[str, Any] = {}
    for half, held in found.items():
        assert held.heads is not None
        parts[half] = {
            "items": len(held.heads),
            "tokens": len(held.tokens) - int(held.heads.sum()),
            "bytes": held.n_bytes,
        }
    short = [half for half, part in parts.items() if part["tokens"] < most]
    return {"file": stem(path), "items": items, **parts, "short": short}
