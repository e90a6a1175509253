"""Token shards: Arrow IPC files, one row per document, read by memory mapping without a copy.

The shard `<split>-<stem>.arrow` of `tokens/<domain>/` belongs to `documents/<stem>.parquet`. A row's tokens are BOS,
the metadata prefix (`metadata_tokens` of them, often none), the text, and EOS where the tokenizer has one of its own.
`n_bytes` counts the UTF-8 bytes of the text alone, as far as its tokens give them back, so bits per byte can always be
computed. The schema's metadata carry the tokenizer's hash and the totals.

Refuses to map a workspace that is not on a local disk, and to mix shards of two tokenizers in one domain.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa

from ...corpus.store.commits import Manifest
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.fate import refuse_stale
from ...corpus.store.shards import filesystem
from ...corpus.store.soundness import demand_sound
from ...corpus.store.workspace import Workspace

SPLITS = ("train", "heldout")
TOKENS_FOLDER = "tokens/"
TOKENS = b"gristmill.tokens"
BATCH_TOKENS = 1 << 24  # a record batch is cut here; its offsets stay far below 2^31


@dataclass(frozen=True)
class TokenFacts:
    """What every shard of a tokenizer shares, stored in each of them."""

    tokenizer: str  # sha256 of tokenizer.json
    vocab_size: int
    bos: int
    eos: int | None  # None where the tokenizer ends documents with the token that starts them

    @property
    def ends(self) -> list[int | None]:
        """The tokens that start and end a document, as a checkpoint keeps them."""
        return [self.bos, self.eos]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)


def token_schema(dtype: np.dtype) -> pa.Schema:
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("tokens", pa.list_(pa.field("item", pa.from_numpy_dtype(dtype), nullable=False)), nullable=False),
            pa.field("n_tokens", pa.int32(), nullable=False),
            pa.field("n_bytes", pa.int64(), nullable=False),
            pa.field("metadata_tokens", pa.int32(), nullable=False),
        ]
    )


@dataclass
class TokenRows:
    """Rows on their way into a shard, as columns."""

    ids: list[str] = field(default_factory=list)
    tokens: list[np.ndarray] = field(default_factory=list)
    n_bytes: list[int] = field(default_factory=list)
    metadata_tokens: list[int] = field(default_factory=list)
    lost_bytes: int = 0  # of the texts, which the tokenizer does not give back

    def append(self, id: str, tokens: np.ndarray, n_bytes: int, metadata_tokens: int, lost_bytes: int = 0) -> None:
        self.lost_bytes += lost_bytes
        self.ids.append(id)
        self.tokens.append(tokens)
        self.n_bytes.append(n_bytes)
        self.metadata_tokens.append(metadata_tokens)

    def totals(self) -> dict[str, int]:
        return {
            "documents": len(self.ids),
            "tokens": sum(len(tokens) for tokens in self.tokens),
            "bytes": sum(self.n_bytes),
            **({"lost_bytes": self.lost_bytes} if self.lost_bytes else {}),
        }


def write_tokens(path: str, rows: TokenRows, facts: TokenFacts) -> int:
    """Write one shard as a local file; how many rows it has. Rows go in the order of their ids, which are hashes."""
    order = sorted(range(len(rows.ids)), key=rows.ids.__getitem__)
    own = {"tokenizer": facts.tokenizer, "vocab_size": facts.vocab_size, "bos": facts.bos, "eos": facts.eos}
    schema = token_schema(facts.dtype).with_metadata({TOKENS: json.dumps(own | rows.totals(), sort_keys=True)})
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for chosen in _batches(rows, order):
            writer.write_batch(_batch(rows, chosen, schema, facts.dtype))
    return len(order)


def write_token_table(path: str, rows: pa.Table, order: np.ndarray, facts: TokenFacts) -> dict[str, int]:
    """`write_tokens` of some rows as shards have them (`token_schema`), none of which lost bytes. Its totals.

    order  (D,) places of the rows, ascending by id: tokens are copied once, as they are written
    """
    chosen = rows.select(["n_tokens", "n_bytes"]).take(pa.array(order))
    lengths = chosen["n_tokens"].to_numpy()
    totals = {"documents": len(order), "tokens": int(lengths.sum()), "bytes": int(chosen["n_bytes"].to_numpy().sum())}
    own = {"tokenizer": facts.tokenizer, "vocab_size": facts.vocab_size, "bos": facts.bos, "eos": facts.eos}
    schema = token_schema(facts.dtype).with_metadata({TOKENS: json.dumps(own | totals, sort_keys=True)})
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        begin = 0
        while begin < len(order):
            end = max(begin + 1, int(np.searchsorted(ends, ends[begin] + BATCH_TOKENS, side="right")) - 1)
            block = rows.take(pa.array(order[begin:end])).combine_chunks()
            columns = [block[name].combine_chunks() for name in schema.names]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            begin = end
    return totals


def _batches(rows: TokenRows, order: Sequence[int]) -> list[list[int]]:
    batches: list[list[int]] = []
    room = 0
    for place in order:
        if room < len(rows.tokens[place]) or not batches:
            batches.append([])
            room = BATCH_TOKENS
        batches[-1].append(place)
        room -= len(rows.tokens[place])
    return batches


def _batch(rows: TokenRows, chosen: Sequence[int], schema: pa.Schema, dtype: np.dtype) -> pa.RecordBatch:
    lengths = np.array([len(rows.tokens[place]) for place in chosen], np.int32)
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)))
    flat = np.concatenate([rows.tokens[place] for place in chosen]).astype(dtype, copy=False)
    return pa.record_batch(
        [
            pa.array([rows.ids[place] for place in chosen], pa.string()),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), type=schema.field("tokens").type),
            pa.array(lengths),
            pa.array([rows.n_bytes[place] for place in chosen], pa.int64()),
            pa.array([rows.metadata_tokens[place] for place in chosen], pa.int32()),
        ],
        schema=schema,
    )


def held_out(id: str, share: float) -> bool:
    """Whether a document belongs to the held-out split: a draw by the hash of its id, the same everywhere."""
    digest = hashlib.blake2b(f"held out:{id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


LONGEST = 240  # bytes of a folder's name


def table_name(domain: str) -> str:
    """`tokens/<domain>`, with what a folder name cannot hold percent-encoded; of a long name only that.

    Raises RequestError for a name that no file system takes.
    """
    name = quote(domain, safe=" ,;=+@()[]'!&")
    if len(name) > LONGEST:
        name = "".join(c if ord(c) > 127 else quote(c, safe=" ,;=+@()[]'!&") for c in domain)
    if len(name.encode()) > LONGEST:
        raise RequestError(f"domain {domain[:40]}…: its name has {len(name.encode())} bytes, a folder's has {LONGEST}")
    return f"tokens/{name.replace('.', '%2E', 1) if name.startswith(('.', '_')) else name}"


def domains(workspace: Workspace) -> list[str]:
    """Names of the domains that have finished token tables, sorted."""
    names = [
        table.name.removeprefix(TOKENS_FOLDER) for table in workspace.tables() if table.name.startswith(TOKENS_FOLDER)
    ]
    return sorted(unquote(name) for name in names)


def demand_fresh(workspace: Workspace, needed_by: str) -> None:
    """WorkspaceError where token shards were made from other documents, texts or decisions than there are now."""
    for domain in domains(workspace):
        refuse_stale(workspace, table_name(domain), needed_by)


@dataclass(frozen=True)
class TokenDomain:
    """The documents of one domain and split, in the order of shards and rows. Arrays are views of mapped files.

    offsets          (documents + 1,) int64: document i is tokens [offsets[i], offsets[i + 1]) of the domain
    segments         the flat token arrays of the record batches, one after the other
    n_bytes          (documents,) int64 UTF-8 bytes of each text
    metadata_tokens  (documents,) int64 tokens of the prefix that follows BOS
    quality          (documents,) float64, larger is better, or None: what a phase that reads the best ones goes by
    """

    name: str
    split: str
    facts: TokenFacts
    fingerprint: str  # changes with the tokens: what a run records of the data it read
    segments: tuple[np.ndarray, ...]
    offsets: np.ndarray
    n_bytes: np.ndarray
    metadata_tokens: np.ndarray
    quality: np.ndarray | None = None

    @classmethod
    def from_documents(
        cls,
        name: str,
        documents: Sequence[np.ndarray],
        facts: TokenFacts,
        n_bytes: Sequence[int] | None = None,
        metadata_tokens: Sequence[int] | None = None,
        split: str = "train",
    ) -> "TokenDomain":
        """A domain in memory, for tests and for callers that have their own tokens."""
        lengths = np.array([len(document) for document in documents], np.int64)
        flat = np.concatenate([*documents, np.zeros(0, facts.dtype)]).astype(facts.dtype)
        return cls(
            name,
            split,
            facts,
            hashlib.blake2b(flat.tobytes() + lengths.tobytes(), digest_size=16).hexdigest(),
            (flat,),
            np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))),
            np.array(lengths if n_bytes is None else n_bytes, np.int64),
            np.array(np.zeros(len(documents)) if metadata_tokens is None else metadata_tokens, np.int64),
        )

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        return int(self.offsets[-1])

    @property
    def bytes(self) -> int:
        return int(self.n_bytes.sum())

    @cached_property
    def starts(self) -> np.ndarray:
        """(segments + 1,) int64: where each segment begins in the flat order."""
        return np.concatenate((np.zeros(1, np.int64), np.cumsum([len(part) for part in self.segments], dtype=np.int64)))

    def document(self, i: int) -> np.ndarray:
        """Tokens of document i, a view."""
        if not 0 <= i < self.documents:
            raise IndexError(f"{self.name}/{self.split} has {self.documents} documents, asked for {i}")
        begin, end = int(self.offsets[i]), int(self.offsets[i + 1])
        part = int(np.searchsorted(self.starts, begin, side="right")) - 1
        while part + 1 < len(self.segments) and begin >= self.starts[part + 1]:
            part += 1
        return self.segments[part][begin - self.starts[part] : end - self.starts[part]]

    @cached_property
    def quality_fingerprint(self) -> str:
        values = b"" if self.quality is None else self.quality.tobytes()
        return hashlib.blake2b(values, digest_size=16).hexdigest()

    def best(self, share: float) -> np.ndarray:
        """(M,) the best documents, in stored order, that hold the share of the domain's tokens; at least one."""
        if self.quality is None:
            raise RequestError(f"{self.name} has no quality, so its best documents are not known")
        order = np.argsort(-self.quality, kind="stable")
        held = np.cumsum(np.diff(self.offsets)[order])
        return np.sort(order[: max(1, int(np.searchsorted(held, share * self.tokens + 1e-6, side="right")))])

    def head(self, documents: int) -> np.ndarray:
        """Tokens of the first documents in one array; no more segments are touched than hold them."""
        end = int(self.offsets[documents])
        parts = self.segments[: int(np.searchsorted(self.starts, end, side="left"))]
        return parts[0][:end] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, self.facts.dtype)])[:end]

    def plain(self, documents: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of the first documents (None: all) without metadata prefixes, and the offsets (documents + 1,) of
        each; views where there are no prefixes."""
        count = self.documents if documents is None else documents
        prefixes, offsets, tokens = self.metadata_tokens[:count], self.offsets[: count + 1], self.head(count)
        if not prefixes.any():
            return tokens, offsets
        lengths = np.diff(offsets)
        place = np.arange(len(tokens)) - np.repeat(offsets[:-1], lengths)
        keeps = (place == 0) | (place > np.repeat(prefixes, lengths))
        return tokens[keeps], np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths - prefixes)))

    def flat(self) -> np.ndarray:
        """All tokens in one array: a view where there is one segment, a copy otherwise."""
        if len(self.segments) == 1:
            return self.segments[0]
        return np.concatenate([*self.segments, np.zeros(0, self.facts.dtype)])


def open_tokens(workspace: Workspace, domain: str, split: str = "train") -> TokenDomain:
    """Map the finished token shards of a domain. They are read once, to see that they are as they were put; after that
    tokens are read when touched. WorkspaceError where one is damaged or lost."""
    if not workspace.is_local:
        raise RequestError(f"{workspace.url}: tokens are memory-mapped, which needs a local disk; copy tokens/ first")
    if split not in SPLITS:
        raise RequestError(f"no split {split!r}; there are: {', '.join(SPLITS)}")
    table = workspace.table(table_name(domain))
    manifest = table.finished(f"reading domain {domain!r}")
    urls = [table.file_url(shard) for shard in manifest.shards if shard.name.startswith(split + "-")]
    with ThreadPoolExecutor() as threads:  # hashing lets go of the interpreter
        list(threads.map(lambda url: demand_sound(*filesystem(url)), urls))
    segments: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    n_bytes: list[np.ndarray] = []
    metadata: list[np.ndarray] = []
    for url in urls:
        reader = pa.ipc.open_file(pa.memory_map(url))
        own = json.loads(reader.schema.metadata[TOKENS])
        if own["tokenizer"] != manifest.details["tokenizer"]:
            raise WorkspaceError(
                f"{url} was made with tokenizer {own['tokenizer'][:12]}…, its manifest says "
                f"{manifest.details['tokenizer'][:12]}…; run: gristmill tokenize --workspace {workspace.url} --force"
            )
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            column = batch.column("tokens")
            bounds = column.offsets.to_numpy()
            segments.append(column.values.to_numpy()[bounds[0] : bounds[-1]])
            lengths.append(np.diff(bounds).astype(np.int64))
            n_bytes.append(batch.column("n_bytes").to_numpy())
            metadata.append(batch.column("metadata_tokens").to_numpy().astype(np.int64))
    none = np.zeros(0, np.int64)
    return TokenDomain(
        domain,
        split,
        facts_of(manifest),
        manifest.fingerprint,
        tuple(segments),
        np.concatenate((np.zeros(1, np.int64), np.cumsum(np.concatenate([*lengths, none])))),
        np.concatenate([*n_bytes, none]),
        np.concatenate([*metadata, none]),
    )


def document_ids(workspace: Workspace, domain: str, split: str = "train") -> pa.Array:
    """(documents,) ids of a domain's documents, in the order of `open_tokens`."""
    table = workspace.table(table_name(domain))
    found = []
    for shard in table.finished(f"reading domain {domain!r}").shards:
        if shard.name.startswith(split + "-"):
            reader = pa.ipc.open_file(pa.memory_map(table.file_url(shard)))
            found += [reader.get_batch(i).column("id") for i in range(reader.num_record_batches)]
    return pa.concat_arrays([*found, pa.array([], pa.string())])


def facts_of(manifest: Manifest) -> TokenFacts:
    """The tokenizer facts that a token table's manifest tells."""
    told = manifest.details
    return TokenFacts(told["tokenizer"], told["vocab_size"], told["bos"], told["eos"])
