"""Corpora for the deduplication benchmarks: real text from GRISTMILL_DATA, written as documents/ of a workspace.

Everything is drawn from `random.Random(seed)`: the same call makes the same corpus.
"""

import hashlib
import os
import random
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
DOMAINS = ("books", "chat", "how_to", "law", "maths", "technical_prose")


def need(*parts: str) -> Path:
    """A file of the shared data, or exit 77 (skipped), saying where it was looked for."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        sys.stderr.write(f"skipped: {path} is missing; set GRISTMILL_DATA to the folder that holds {parts[0]}/\n")
        sys.exit(77)
    return path


def pieces(characters: int = 2400) -> list[str]:
    """All text of the domains, cut at line ends into documents of about this many characters."""
    found = []
    for domain in DOMAINS:
        text = "\n".join(pq.read_table(need("domains", f"{domain}.parquet"))["text"].to_pylist())
        start = 0
        while start < len(text):
            cut = text.find("\n", start + characters)
            end = len(text) if cut < 0 else cut + 1
            found.append(text[start:end])
            start = end
    return found


def edited(text: str, share: float, rng: random.Random, vocabulary: list[str]) -> str:
    """A copy in which this share of the words is replaced by other words of the corpus."""
    words = text.split(" ")
    for place in rng.sample(range(len(words)), max(1, round(len(words) * share))):
        words[place] = rng.choice(vocabulary)
    return " ".join(words)


def planted(documents: int, seed: int = 0) -> tuple[list[str], list[tuple[int, int]]]:
    """Real documents and edited copies of them (edit rates 1-20 %), shuffled; and the planted pairs by place."""
    rng = random.Random(seed)
    originals = pieces(3100)
    rng.shuffle(originals)
    vocabulary = " ".join(originals[:400]).split()
    copies = documents - min(len(originals), documents * 3 // 5)
    originals = originals[: documents - copies]
    rows = [(text, None) for text in originals]
    rows += [
        (edited(originals[n % len(originals)], rng.uniform(0.01, 0.2), rng, vocabulary), n % len(originals))
        for n in range(copies)
    ]
    order = list(range(len(rows)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    pairs = [(place[source], place[old]) for old, (_, source) in enumerate(rows) if source is not None]
    return [rows[old][0] for old in order], pairs


def words(text: str) -> list[str]:
    """Words as the fineweb preset folds them, by an independent definition."""
    folded = "".join(unicodedata.normalize("NFD", c)[0] for c in text.lower())
    return re.findall(r"\w+", re.sub(r"\d", "0", folded))


def shingles(text: str, size: int = 5) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[i : i + size]) for i in range(max(1, len(tokens) - size + 1))} if tokens else set()


def jaccard(left: set, right: set) -> float:
    return len(left & right) / len(left | right) if left or right else 0.0


def name(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def write_workspace(url: str, rows: Iterable[dict], per_shard: int = 4000) -> int:
    """documents/ of a new workspace; a row needs `text` and may give any other column. Returns the documents."""
    from gristmill.corpus.store.commits import Commit, Made, TableRecord, total
    from gristmill.corpus.store.schema import DOCUMENTS
    from gristmill.corpus.store.shards import open_shard
    from gristmill.corpus.store.workspace import Workspace

    workspace, made, count = Workspace(url), [], 0
    blank = dict.fromkeys(DOCUMENTS.names) | {"source": "benchmark", "domain": "benchmark"}
    for number, part in enumerate(_parts(rows, per_shard)):
        with open_shard(workspace.table("documents").url, f"part-{number:05d}.parquet", DOCUMENTS) as out:
            out.write_rows({**blank, "id": name(count + i), **row} for i, row in enumerate(part))
            out.counts.update({"in": len(part), "kept": len(part), "dropped": 0, "failed": 0})
        count += len(part)
        made.append(out.shard)
    workspace.put_commit(
        Commit(
            stage="extract",
            command="extract",
            version=1,
            generation=1,
            previous="",
            tables={"documents": TableRecord(settings={}, shards=tuple(made), counts=total(made))},
            inputs={},
            work={shard.name: Made(shard.content) for shard in made},
        )
    )
    return count


def _parts(rows: Iterable[dict], size: int) -> Iterator[list[dict]]:
    part: list[dict] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def table_of(url: str, name: str, columns: list[str] | None = None) -> pa.Table:
    """A finished table of a workspace in memory."""
    from gristmill.corpus.store.workspace import Workspace

    return pa.Table.from_batches(list(Workspace(url).table(name).read(columns)))
