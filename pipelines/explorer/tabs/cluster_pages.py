"""One cluster of duplicates, and two documents side by side with their differences marked word by word."""

import difflib
import re
from itertools import pairwise

import pyarrow as pa

from ....corpus.sql import literal
from ....corpus.store.errors import RequestError
from ....dedup.shingles import shingle
from ...report.text import count, escape, number, paragraph, table
from ..page import link
from ..pairs import dedup_settings
from ..reading import ID, text_of
from ..source import numbers_of
from ..view import View

WORDS = 4000  # of each document that are compared word by word
MEMBERS = 200


def cluster(view: View, name: str = "") -> str:
    """The members of a cluster, each beside the survivor."""
    if not ID.fullmatch(name) or "copies" not in view.source.tables:
        raise RequestError("a cluster is named by the smallest id of its documents")
    rows = view.records(
        "members",
        f"select * from copies where cluster = {literal(name)} order by survivor desc, jaccard desc, id limit "
        f"{MEMBERS}",
    )
    if not rows:
        raise RequestError(f"there is no cluster {name}")
    told = []
    for row in rows:
        other = row["duplicate_of"]
        told.append(
            (
                link(view.link(f"document/{row['id']}"), (row["title"] or row["begins"] or row["id"])[:90], "item"),
                row["host"] or "–",
                row["domain"] or "–",
                "survives" if row["survivor"] else "dropped",
                link(view.link(f"pair/{other}/{row['id']}"), "beside the survivor") if other else "–",
                row["method"] or "–",
                number(row["jaccard"]),
                count(row["bytes"]) if row["bytes"] is not None else "–",
            )
        )
    header = ("document", "host", "domain", "fate", "", "found by", "closest match", "bytes")
    said = f"{count(rows[0]['cluster_size'])} documents, scope {rows[0]['scope']}."
    return paragraph(said, "lead") + table(header, told, words=6, most=MEMBERS)


def pair(view: View, names: str = "") -> str:
    """Two documents side by side."""
    ids = names.split("/")
    if len(ids) != 2 or not all(map(ID.fullmatch, ids)):
        raise RequestError("two documents are compared by their ids: pair/ID/ID")
    rows = {
        row["id"]: row
        for row in view.records(
            "the two", f"select id, title, url, file, place, fate from facts where number in ({numbers_of(ids)})"
        )
    }
    for one in ids:
        if one not in rows:
            raise RequestError(f"no document of this workspace has the id {one}")
    texts = [text_of(view.source, rows[one]["file"], rows[one]["place"]) for one in ids]
    left, right, share = differences(*(one for one in texts))
    body = paragraph(similarity(view, ids, texts), "lead")
    if max(len(re.findall(r"\S+", one)) for one in texts) > WORDS:
        body += paragraph(f"The first {count(WORDS)} words of each are compared word by word.", "lead")
    body += paragraph(f"Of the words of both, {100 * share:.1f} % stand in the same order.", "lead")
    columns = []
    for one, shown in zip(ids, (left, right), strict=True):
        row = rows[one]
        title = link(view.link(f"document/{one}"), row["title"] or row["url"] or one).source
        columns.append(
            f'<section><h2>{title}</h2><p class=sub>{escape(row["fate"])} · {escape(one)}</p><pre class="text '
            f'document" tabindex="0">{shown}</pre></section>'
        )
    return body + f'<div class="two">{"".join(columns)}</div>'


def similarity(view: View, ids: list[str], texts: list[str]) -> str:
    """The Jaccard similarity that decides, and what is on record."""
    asked = dedup_settings(view.source.workspace)
    sets = [
        set(shingle(pa.array([text]), asked["unit"], asked["size"], asked["fold"]).hashes.tolist()) for text in texts
    ]
    shared, both = len(sets[0] & sets[1]), len(sets[0] | sets[1])
    jaccard = shared / both if both else 0.0
    said = (
        f"Jaccard {jaccard:.4f}: {count(shared)} of {count(both)} different {asked['size']}-grams of {asked['unit']} "
        f"are in both; threshold {number(asked['threshold'])}."
    )
    if "copies" in view.source.tables:
        one, other = map(literal, ids)
        rows = view.rows(
            "on record",
            f"select id, match, jaccard, method from copies where id = {one} and match = {other} or id = {other} "
            f"and match = {one}",
        )
        for _, _, told, method in rows[:1]:
            said += f" On record, by {method}: {number(told)}."
        if not rows:
            said += " This pair did not decide: the two are in one cluster by way of others, or in none."
    return said


def differences(left: str, right: str) -> tuple[str, str, float]:
    """Both texts as HTML with the words that the other lacks marked, and the share of words in common order."""
    a, b = (re.findall(r"\s+|\S+", text)[: 2 * WORDS] for text in (left, right))
    words = [[(place, piece) for place, piece in enumerate(parts) if not piece.isspace()] for parts in (a, b)]
    matched = difflib.SequenceMatcher(None, [w for _, w in words[0]], [w for _, w in words[1]], autojunk=False)
    same = [set(), set()]
    for block in matched.get_matching_blocks():
        for step in range(block.size):
            same[0].add(words[0][block.a + step][0])
            same[1].add(words[1][block.b + step][0])
    shown = [_marked(parts, own, kind) for parts, own, kind in zip((a, b), same, ("gone", "new"), strict=True)]
    total = len(words[0]) + len(words[1])
    return shown[0], shown[1], 2 * len(same[0]) / total if total else 1.0


def _marked(parts: list[str], same: set[int], kind: str) -> str:
    """Runs of words that differ, with the white space between them, as one mark."""
    differs = [not (place in same or piece.isspace()) for place, piece in enumerate(parts)]
    for place in range(1, len(parts) - 1):
        if parts[place].isspace() and differs[place - 1] and differs[place + 1]:
            differs[place] = True
    cuts = [0, *(n for n in range(1, len(parts)) if differs[n] != differs[n - 1]), len(parts)]
    out = []
    for start, end in pairwise(cuts):
        text = escape("".join(parts[start:end]))
        if text:
            out.append(f'<mark class="{kind}">{text}</mark>' if differs[start] else text)
    return "".join(out)
