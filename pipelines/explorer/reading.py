"""One document whole: its text as it was extracted, what every stage made of it, and what was found where in it.

Places are in characters of the text as it was extracted. A stage's cuts are stated in the text as the stage before left
it and are carried back; where that cannot be done (a model wrote the text anew) the stage's own text is shown beside.
Refuses an id that no document has.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow.parquet as pq

from ...corpus.sql import literal
from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem
from ...filters.pii import find
from .source import OpenWorkspace
from .view import View

GRAM = 5  # words of a run that counts as repeated
ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Mark:
    """A stretch [start, end) of a text, and what it is: cut, repeated, personal or contaminated."""

    start: int
    end: int
    kind: str
    words: str


@dataclass
class WholeDocument:
    """A document with what was found in it."""

    row: dict[str, Any]
    text: str
    marks: list[Mark] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # stage -> the text that it left, where it changed it


class Places:
    """Where characters of an edited text stood in the text as it was extracted."""

    def __init__(self, length: int) -> None:
        self.runs = [(0, 0, length)]  # (place now, place then, characters), ascending

    def back(self, at: int) -> int:
        """The place of a character, or of the end of the run before it."""
        starts = [now for now, _, _ in self.runs]
        place = max(0, bisect_right(starts, at) - 1)
        if not self.runs:
            return 0
        now, then, length = self.runs[place]
        return then + min(max(at - now, 0), length)

    def cut(self, before: str, after: str, removed: Sequence[tuple[int, int]]) -> bool:
        """Follow an edit. False where what was left cannot be found in the new text."""
        runs, at, now = [], 0, 0
        for start, end in [*sorted(removed), (len(before), len(before))]:
            piece = before[at:start]
            found = after.find(piece, now) if piece else now
            if found < 0:
                return False
            if piece:
                runs += self._between(at, start, found)
                now = found + len(piece)
            at = max(at, end)
        self.runs = runs
        return True

    def _between(self, start: int, end: int, now: int) -> list[tuple[int, int, int]]:
        """Runs of the stretch [start, end) of the text before, which stands at `now` in the new one."""
        found = []
        for begins, then, length in self.runs:
            low, high = max(begins, start), min(begins + length, end)
            if low < high:
                found.append((now + low - start, then + low - begins, high - low))
        return found


def text_of(source: OpenWorkspace, file: str, place: int) -> str:
    """The text of one row of a shard of documents."""
    return cell_of(source, file, place, "text")


def cell_of(source: OpenWorkspace, file: str, place: int, column: str) -> Any:
    """A column of one row of a shard of documents, reading just its row group."""
    fs, path = filesystem(f"{source.workspace.table('documents').url}/{file}")
    with fs.open(path, "rb") as held:
        parquet = pq.ParquetFile(held)
        before = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if place < before + rows:
                return parquet.read_row_group(group, [column])[column][place - before].as_py()
            before += rows
    raise RequestError(f"{file} has no row {place}")


def read_document(view: View, id: str) -> WholeDocument:
    """The document of an id, with its marks."""
    if not ID.fullmatch(id):
        raise RequestError("an id of a document has 32 hex digits")
    known = view.rows("its number", f"select number from ids where id = '{id}'") if "ids" in view.source.tables else ()
    if not known:
        raise RequestError(f"no document has the id {id}")
    row = view.records("document", f"select * from facts where number = {known[0][0]}")[0]
    whole = WholeDocument(row, text_of(view.source, row["file"], row["place"]))
    places, now = Places(len(whole.text)), whole.text
    followed = True
    for stage in view.source.stages:
        if followed:
            _contaminated(view, whole, places, stage)
        edits = rows_beside(view, f"edits/{stage}", row) if not view.source.chain_is_stale else None
        if edits is None:
            continue
        edit = view.records(f"edited by {stage}", f"select text, removed from {edits} where id = '{id}'")
        if not edit:
            continue
        whole.texts[stage] = edit[0]["text"]
        removed = edit[0]["removed"] or []
        if followed:
            for cut in removed:
                start, end = places.back(cut["start"]), places.back(max(cut["end"] - 1, cut["start"])) + 1
                whole.marks.append(Mark(start, end, "cut", f"{stage}: {cut['rule']}"))
            followed = bool(removed) and places.cut(now, edit[0]["text"], [(c["start"], c["end"]) for c in removed])
        now = edit[0]["text"]
    whole.marks += repeated(whole.text)
    whole.marks += [Mark(one.start, one.end, "personal", one.kind) for one in find(whole.text[:200_000])]
    return whole


def rows_beside(view: View, table: str, row: dict[str, Any]) -> str | None:
    """SQL of the rows of a table among which those of a document are: of one shard, where the table is laid out as the
    documents are, however many there are. None where it has none, or is stale."""
    return view.source.layout.read(table, [view.source.shards[row["file"]]])


def _contaminated(view: View, whole: WholeDocument, places: Places, stage: str) -> None:
    """Hits of evaluation sets, as the stage that looked for them saw the text."""
    source = rows_beside(view, "contamination", whole.row) if stage == "decontaminate" else None
    if source is None:
        return
    hits = view.records(
        "contamination", f'select task, example, start, "end" from {source} where id = {literal(whole.row["id"])}'
    )
    for hit in hits:
        start, end = places.back(hit["start"]), places.back(max(hit["end"] - 1, hit["start"])) + 1
        whole.marks.append(Mark(start, end, "contaminated", f"{hit['task']}, example {hit['example']}"))


def repeated(text: str, size: int = GRAM, most: int = 200_000) -> list[Mark]:
    """Stretches of `size` words in a row, in lower case, that stood earlier in the text, joined where they overlap."""
    words = [(one.start(), one.end(), one.group().lower()) for one in re.finditer(r"\S+", text[:most])]
    seen: set[tuple[str, ...]] = set()
    found: list[Mark] = []
    for at in range(len(words) - size + 1):
        gram = tuple(word for _, _, word in words[at : at + size])
        if gram in seen:
            start, end = words[at][0], words[at + size - 1][1]
            if found and start <= found[-1].end:
                found[-1] = Mark(found[-1].start, end, "repeated", found[-1].words)
            else:
                found.append(Mark(start, end, "repeated", f"{size} words in a row that stood before"))
        seen.add(gram)
    return found


def pieces(text: str, marks: Sequence[Mark]) -> list[tuple[str, list[Mark]]]:
    """The text cut wherever a mark begins or ends, each piece with the marks that it lies in."""
    bounds = sorted({0, len(text), *(min(m.start, len(text)) for m in marks), *(min(m.end, len(text)) for m in marks)})
    begins = sorted(marks, key=lambda mark: mark.start)
    found, open_marks, next_mark = [], [], 0
    for start, end in pairwise(bounds):
        while next_mark < len(begins) and begins[next_mark].start <= start:
            open_marks.append(begins[next_mark])
            next_mark += 1
        open_marks = [mark for mark in open_marks if mark.end > start]
        found.append((text[start:end], list(open_marks)))
    return found
