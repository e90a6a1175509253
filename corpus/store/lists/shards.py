"""The shards of a table: a list of `Shard`, sorted by name, that is looked into by name and by work item."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast, overload

import pyarrow as pa

from ... import arrow_functions as pc
from ..shards import Shard
from .rows import BLOCK, INLINE, NamedRows, by_name, digest_bytes, digest_text, from_told, is_told, sorted_table

COLUMNS = pa.schema(
    [
        ("name", pa.string()),
        ("file", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("checksum", pa.binary()),
        ("content", pa.binary()),
        ("counts", pa.string()),  # JSON, sorted keys
        ("item", pa.string()),  # null where it is the shard's name
    ]
)


class ShardList(NamedRows, Sequence[Shard]):
    """Many shards."""

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> "ShardList":
        """ValueError where a name occurs twice."""
        return shards if isinstance(shards, ShardList) else cls.of_table(sorted_table(map(_row, shards), COLUMNS))

    @classmethod
    def of_table(cls, table: pa.Table) -> "ShardList":
        """Of rows of `COLUMNS`, sorted by name."""
        return cls(table, table.num_rows, _fingerprint(_pairs(table)))

    def __iter__(self) -> Iterator[Shard]:
        return map(_shard, self.rows())

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | Sequence[Shard]:
        if isinstance(index, slice):
            return tuple(_shard(row) for row in self.table.take(list(range(self.length))[index]).to_pylist())
        return _shard(self.table.slice(range(self.length)[index], 1).to_pylist()[0])

    def of_items(self, items: Collection[str]) -> "ShardList":
        """The shards that these work items made; the list itself where those are all."""
        made = pc.coalesce(self.table["item"], self.table["name"])
        theirs = pc.is_in(made, value_set=pa.array(items, pa.string()))
        return self if pc.all(theirs).as_py() else ShardList.of_table(self.table.filter(theirs))

    def all_end_with(self, ends: Sequence[str]) -> bool:
        """Whether every name ends in one of these."""
        names = self.table["name"]
        left = pc.invert(pc.ends_with(names, ends[0]))
        for end in ends[1:]:
            left = pc.and_not(left, pc.ends_with(names, end))
        return not pc.any(left).as_py()

    def total(self, column: str) -> int:
        """Sum of `rows` or `bytes`."""
        return cast(int, pc.sum(self.table[column]).as_py() or 0)

    def counts(self) -> dict[str, int]:
        """Counts summed over the shards; those of equal counts are added up at once."""
        found: dict[str, int] = {}
        for pair in pc.value_counts(self.table["counts"]).to_pylist():
            for name, value in json.loads(pair["values"]).items():
                found[name] = found.get(name, 0) + value * pair["counts"]
        return dict(sorted(found.items()))


class ByName(Mapping[str, Shard]):
    """Shards of a long list by name."""

    def __init__(self, shards: ShardList) -> None:
        self.shards = shards
        self._rows: dict[str, int] | None = None

    def __getitem__(self, name: str) -> Shard:
        if self._rows is None:
            self._rows = {name: row for row, (name,) in enumerate(self.shards.columns(["name"]))}
        return self.shards[self._rows[name]]

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self.shards.columns(["name"]))

    def __len__(self) -> int:
        return len(self.shards)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None


def listed(shards: object) -> Any:
    """Shards as a commit holds them: few as they are, many as a `ShardList`."""
    if is_told(shards):
        return ShardList(*from_told(cast(Mapping[str, Any], shards)))
    if isinstance(shards, Sequence) and len(shards) > INLINE and not isinstance(shards, ShardList):
        return ShardList.of(one if isinstance(one, Shard) else Shard(**one) for one in shards)
    return shards


def content_fingerprint(shards: Sequence[Shard]) -> str:
    """32 hex digits over names and contents: equal shards, equal digits, however they are listed."""
    if isinstance(shards, ShardList):
        return shards.fingerprint
    return _fingerprint((shard.name, shard.content) for shard in shards)


def _fingerprint(pairs: Iterable[tuple[str, str]]) -> str:
    """`shards.fingerprint` of the list of pairs, without a text of all of them."""
    digest = hashlib.blake2b(b"[[", digest_size=16)
    first = True
    for pair in pairs:
        digest.update((("" if first else ", ") + json.dumps(pair)).encode())
        first = False
    digest.update(b"]]")
    return digest.hexdigest()


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    for batch in table.select(["name", "content"]).to_batches(max_chunksize=BLOCK):
        yield from zip(batch["name"].to_pylist(), map(digest_text, batch["content"].to_pylist()), strict=True)


def _row(shard: Shard) -> dict[str, Any]:
    return {
        "name": shard.name,
        "file": shard.file,
        "rows": shard.rows,
        "bytes": shard.bytes,
        "checksum": digest_bytes(shard.checksum),
        "content": digest_bytes(shard.content),
        "counts": json.dumps(dict(shard.counts), sort_keys=True, separators=(",", ":")),
        "item": None if shard.item == shard.name else shard.item,
    }


@lru_cache(maxsize=1 << 12)
def _counts(text: str) -> Mapping[str, int]:
    return cast(Mapping[str, int], json.loads(text))


def _shard(row: Mapping[str, Any]) -> Shard:
    checksum, content = digest_text(row["checksum"]), digest_text(row["content"])
    item = row["name"] if row["item"] is None else row["item"]
    return Shard(
        row["name"], row["file"], row["rows"], row["bytes"], checksum, content, dict(_counts(row["counts"])), item
    )


def joined(kept: Sequence[Shard], new: Iterable[Shard]) -> Sequence[Shard]:
    """Shards with others beside and in place of them, sorted by name; long lists stay columns."""
    fresh = {shard.name: shard for shard in new}
    if not isinstance(kept, ShardList):
        held = {shard.name: shard for shard in kept} | fresh
        return cast(Sequence[Shard], listed([held[name] for name in sorted(held)]))
    if not fresh:
        return kept
    rows = sorted_table(map(_row, fresh.values()), COLUMNS)
    hidden = pc.is_in(kept.table["name"], value_set=rows["name"].combine_chunks())
    return ShardList.of_table(by_name(pa.concat_tables([kept.table.filter(pc.invert(hidden)), rows])))


def selected(shards: Sequence[Shard], items: Collection[str]) -> Sequence[Shard]:
    """The shards that these work items made."""
    if isinstance(shards, ShardList):
        return shards.of_items(items)
    return [shard for shard in shards if shard.item in items]


def facts_of(shards: Sequence[Shard]) -> Iterator[tuple[str, str, int]]:
    """(work item, file, bytes) of every shard."""
    if not isinstance(shards, ShardList):
        yield from ((shard.item, shard.file, shard.bytes) for shard in shards)
        return
    for name, item, file, size in shards.columns(["name", "item", "file", "bytes"]):
        yield name if item is None else item, file, size


def files_beyond(shards: Sequence[Shard], others: Sequence[Shard]) -> Iterator[str]:
    """Files of shards that the others do not lie in."""
    if isinstance(shards, ShardList) and isinstance(others, ShardList):
        beyond = pc.invert(pc.is_in(shards.table["file"], value_set=others.table["file"].combine_chunks()))
        yield from shards.table["file"].filter(beyond).to_pylist()
        return
    known = {file for _, file, _ in facts_of(others)}
    yield from (file for _, file, _ in facts_of(shards) if file not in known)
