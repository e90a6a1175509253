"""What every exporter shares: the job it is given, the conversion of units, the report it leaves.

Units. `rows`: the trainer draws fixed-length rows, so a weight is a share of tokens. `documents`: it draws documents,
so a weight is share / mean tokens per document, renormalised. `tokens`: it is told shares of tokens and a cap on
repetition. Refuses recipes that the trainer cannot honour, and domain names that would break its syntax.
"""

import glob
import itertools
import json
import math
import os
import re
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import IO, Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store.errors import RequestError
from ...corpus.store.fate import sources
from ...corpus.store.workspace import Workspace
from ...training.data.shards import TokenDomain, document_ids, open_tokens
from ..recipe import Recipe, RecipePhase

Unit = Literal["rows", "documents", "tokens"]
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
TOLERANCE = 0.01  # an exporter refuses where a domain's realised share would be off by more, relative to its share


@dataclass(frozen=True)
class ExportJob:
    """One export.

    workspace  where tokens and texts are; None writes the trainer's settings alone, with paths under `data_root`
    data_root  the folder that the trainer will see the data under; default: `output`/data
    batch      sequences in each optimiser step, which turns tokens into steps
    """

    recipe: Recipe
    output: str
    workspace: Workspace | None = None
    data_root: str | None = None
    batch: int = 256
    seed: int = 0
    dialect: str | None = None

    @property
    def root(self) -> str:
        return (self.data_root or os.path.join(os.path.abspath(self.output), "data")).rstrip("/")

    @property
    def data_folder(self) -> str:
        return os.path.join(self.output, "data")

    def path(self, *parts: str) -> str:
        return os.path.join(self.output, *parts)

    def tokens(self, domain: str, split: str = "train") -> TokenDomain:
        assert self.workspace is not None
        return open_tokens(self.workspace, domain, split)

    def texts(self, domain: str, split: str = "train") -> Iterator[dict[str, Any]]:
        """id, text and url of each document of a domain and split, in the order of the token shards."""
        return self._spool.read(domain, split)

    def numbered_texts(self, domain: str, split: str = "train") -> "SpooledRows":
        """What `texts` gives, by number."""
        return self._spool.rows(domain, split)

    @cached_property
    def _spool(self) -> "TextSpool":
        assert self.workspace is not None
        return TextSpool(self.workspace, used_domains(self), self.output)


BLOCK = 64  # documents that are read at a time
TEXTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("url", pa.string())])


class TextSpool:
    """The documents of some domains, read once and put apart by domain and split in a temporary file of a folder."""

    def __init__(self, workspace: Workspace, domains: Sequence[str], folder: str) -> None:
        self._file = cast(IO[bytes], tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - lives as long as the spool
        self._blocks: dict[tuple[str, str], list[tuple[int, int, int]]] = {}  # begin, size and rows of each block
        held = pa.concat_arrays(
            [document_ids(workspace, name, "heldout") for name in domains] or [pa.array([], pa.string())]
        )
        for source in sources(workspace, "recipe export").values():
            batches = [batch.select([*TEXTS.names, "domain"]) for batch in source.read([*TEXTS.names, "domain"])]
            if batches:
                self._put(pa.Table.from_batches(batches).sort_by("id"), held, domains)

    def _put(self, rows: pa.Table, held: pa.Array, domains: Sequence[str]) -> None:
        """Append the documents of a shard, which are sorted by id."""
        aside = pc.is_in(rows["id"], value_set=held)
        for name in pc.unique(rows["domain"]).to_pylist():
            for split in ("train", "heldout") if name in domains else ():
                theirs = pc.and_(pc.equal(rows["domain"], name), aside if split == "heldout" else pc.invert(aside))
                own = rows.filter(theirs).select(TEXTS.names).cast(TEXTS)
                for block in own.combine_chunks().to_batches(max_chunksize=BLOCK):
                    begin = self._file.tell()
                    with pa.ipc.new_stream(self._file, TEXTS) as out:
                        out.write_batch(block)
                    size = self._file.tell() - begin
                    self._blocks.setdefault((name, split), []).append((begin, size, block.num_rows))

    def read(self, domain: str, split: str) -> Iterator[dict[str, Any]]:
        """The rows of a domain and split, in the order of the shards."""
        for begin, size, _ in self._blocks.get((domain, split), ()):
            yield from self._rows(begin, size)

    def rows(self, domain: str, split: str) -> "SpooledRows":
        """The same rows by their numbers, from block to block."""
        return SpooledRows(self._rows, self._blocks.get((domain, split), []))

    def _rows(self, begin: int, size: int) -> list[dict[str, Any]]:
        self._file.seek(begin)
        with pa.ipc.open_stream(self._file.read(size)) as stream:
            return stream.read_all().to_pylist()


class SpooledRows:
    """Rows by number; the last few blocks stay in memory."""

    def __init__(
        self, read: Callable[[int, int], list[dict[str, Any]]], blocks: Sequence[tuple[int, int, int]]
    ) -> None:
        self._blocks = blocks
        self._ends = list(itertools.accumulate(count for _, _, count in blocks))
        self._read = lru_cache(maxsize=16)(read)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> dict[str, Any]:
        block = bisect_right(self._ends, number)
        begin, size, count = self._blocks[block]
        return self._read(begin, size)[number - self._ends[block] + count]


@dataclass
class Export:
    """What an exporter did. `requested` and `realised` are token shares, one mapping per phase."""

    trainer: str
    unit: Unit
    files: list[str] = field(default_factory=list)
    requested: list[dict[str, float]] = field(default_factory=list)
    realised: list[dict[str, float]] = field(default_factory=list)
    weights: list[dict[str, float]] = field(default_factory=list)  # as written in the trainer's unit
    dropped: list[str] = field(default_factory=list)  # domains without a share anywhere
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        requested: Mapping[str, float],
        weights: Mapping[str, float],
        realised: Mapping[str, float],
        slack: float = 0.0,
    ) -> None:
        """Record a phase; refuse where a realised share is further from the requested one than `TOLERANCE` of it.

        slack  what cannot be avoided because whole documents are drawn: the share of the longest one
        """
        for name, share in requested.items():
            if abs(realised.get(name, 0.0) - share) > TOLERANCE * share + slack + 1e-12:
                raise RequestError(
                    f"{self.trainer} would realise a share of {realised.get(name, 0.0):.6g} for {name} where the "
                    f"recipe says {share:.6g}; raise its share, or merge it with another domain"
                )
        self.requested.append(dict(requested))
        self.weights.append(dict(weights))
        self.realised.append(dict(realised))

    def told(self) -> dict[str, Any]:
        phases = [
            {
                name: {"requested": asked[name], "realised": got.get(name, 0.0), "weight": weight[name]}
                for name in sorted(asked)
            }
            for asked, got, weight in zip(self.requested, self.realised, self.weights, strict=True)
        ]
        return {
            "trainer": self.trainer,
            "unit": self.unit,
            "files": self.files,
            "phases": phases,
            "dropped": self.dropped,
            "notes": self.notes,
        }


def begin(job: ExportJob, trainer: str, unit: Unit) -> Export:
    """Check that the recipe can be honoured at all, and start the report."""
    recipe = job.recipe
    uneven = {name: d.loss_weight for name, d in recipe.domains.items() if d.loss_weight != 1.0}
    if uneven:
        raise RequestError(
            f"{trainer} has no loss weights, and the recipe asks for {uneven}; set them to 1 "
            f"(a share does not do the same: it changes how often a domain is read)"
        )
    if any(phase.metadata != "none" for phase in recipe.phases):
        raise RequestError(
            f"{trainer} cannot keep the loss off a metadata prefix; use gristmill train, or metadata: none"
        )
    for name in recipe.domains:
        if not SAFE_NAME.fullmatch(name) or is_number(name):
            raise RequestError(
                f"domain {name!r} cannot be a path in {trainer}'s settings: letters, digits, _ . - only, not a number"
            )
    export = Export(trainer, unit)
    shares = recipe.run_shares()
    export.dropped = [name for name, share in shares.items() if share == 0]
    if export.dropped:
        export.notes.append(f"left out, because their share is 0: {', '.join(export.dropped)}")
    os.makedirs(job.output, exist_ok=True)
    return export


def earlier_files(job: ExportJob, trainer: str) -> list[str]:
    """What an earlier export for this trainer wrote into the same folder, as its export.json says; none without one."""
    try:
        with open(job.path("export.json"), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return []
    files = told.get("files") if isinstance(told, dict) and told.get("trainer") == trainer else None
    inside = os.path.abspath(job.output) + os.sep
    named = [name for name in files or () if isinstance(name, str)]
    return [name for name in named if os.path.abspath(job.path(name)).startswith(inside)]


def refuse_others(job: ExportJob, trainer: str, pattern: str) -> None:
    """Refuse a folder with files that the trainer would read as well, and that are of no earlier export of ours."""
    own = set(earlier_files(job, trainer))
    others = sorted(name for name in glob.glob(pattern, root_dir=job.output) if name not in own)
    if others:
        raise RequestError(
            f"{job.output} holds {', '.join(others[:3])}{' and others' if len(others) > 3 else ''}, which {trainer} "
            f"would read beside this export; name an empty folder"
        )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def positive(phase: RecipePhase) -> dict[str, float]:
    """Shares above 0, sorted by name: a stable order, because trainers seed their sources by place."""
    return {name: share for name, share in sorted(phase.shares.items()) if share > 0}


def document_weights(recipe: Recipe, shares: Mapping[str, float]) -> dict[str, float]:
    """Probability of drawing a document of each domain so that its tokens have the given share."""
    raw = {name: share / recipe.domains[name].mean_tokens_per_document for name, share in shares.items()}
    total = math.fsum(raw.values())
    return {name: value / total for name, value in raw.items()}


def token_shares(recipe: Recipe, weights: Mapping[str, float]) -> dict[str, float]:
    """The inverse: token shares that come of drawing documents with these weights."""
    raw = {name: weight * recipe.domains[name].mean_tokens_per_document for name, weight in weights.items()}
    total = math.fsum(raw.values())
    return {name: value / total for name, value in raw.items()}


def decimals(weights: Mapping[str, float], digits: int = 12) -> dict[str, str]:
    """Weights as plain decimal text, without exponents, which some argument parsers do not take for numbers."""
    return {name: (f"{weight:.{digits}f}".rstrip("0") or "0") for name, weight in weights.items()}


@dataclass(frozen=True)
class PhaseSteps:
    """A phase in steps: [begin, end)."""

    number: int  # from 1
    phase: RecipePhase
    begin: int
    end: int

    @property
    def steps(self) -> int:
        return self.end - self.begin


def spans(job: ExportJob) -> list[PhaseSteps]:
    """Phases in steps of `batch` sequences; a phase that is shorter than a step is refused."""
    found, step, before = [], 0, 0.0
    for number, phase in enumerate(job.recipe.phases, 1):
        tokens = (phase.until - before) * job.recipe.total_tokens
        steps = round(tokens / (job.batch * phase.seq_len))
        if steps < 1:
            raise RequestError(
                f"phase {number} holds {tokens:.0f} tokens, less than one step of {job.batch} sequences of "
                f"{phase.seq_len}; lower --batch"
            )
        found.append(PhaseSteps(number, phase, step, step + steps))
        step, before = step + steps, phase.until
    return found


RANKS = 64  # an export to which every table has at least so many documents says nothing of small tables


def say_small_tables(job: ExportJob, export: Export) -> None:
    """Note domains of fewer documents than ranks may read: these trainers give each rank documents of its own, and a
    rank without one waits for ever or fails."""
    sizes = {
        name: round(one.tokens_available / one.mean_tokens_per_document) for name, one in job.recipe.domains.items()
    }
    small = [f"{name} has {sizes[name]}" for name in used_domains(job) if sizes[name] < RANKS]
    if small:
        export.notes.append(
            f"{export.trainer} gives each rank documents of its own: {', '.join(small)} documents, so use no more "
            f"ranks, or merge the domain with another"
        )


def say_phases_begin_anew(job: ExportJob, export: Export, fresh: bool) -> None:
    """Note what later phases read again, where the trainer begins every phase at the start of its sources.

    fresh  in another order for each phase, so that what was read before comes back by chance; else the same tokens
           come first in every phase
    """
    before: dict[str, list[float]] = {}
    begin, said = 0.0, []
    for number, phase in enumerate(job.recipe.phases, 1):
        for name, share in positive(phase).items():
            own = share * (phase.until - begin) * job.recipe.total_tokens / job.recipe.domains[name].tokens_available
            read = before.setdefault(name, [])
            unread = math.prod(1 - min(1.0, epochs) for epochs in read) if fresh else 1 - min(1.0, max(read, default=0))
            again = min(own, 1.0) * (1 - unread) if fresh else min(own, 1.0, max(read, default=0.0))
            needed = min(own, max(0.0, sum(read) + own - max(1.0, sum(read))))  # also by one that reads on
            if again > needed + 0.01 * own:
                said.append(f"{again / own:.0%} of what phase {number} reads of {name}")
            read.append(own)
        begin = phase.until
    if said:
        order = "in another order" if fresh else "in the same order"
        export.notes.append(
            f"{export.trainer} begins its sources anew in every phase, {order}: {', '.join(said)} was read before, "
            f"while part of it is never read; gristmill train reads on"
        )


def write_text(job: ExportJob, export: Export, name: str, text: str) -> str:
    """Write a settings file of the export."""
    path = job.path(name)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    export.files.append(name)
    return path


def write_json(job: ExportJob, export: Export, name: str, content: Any) -> str:
    return write_text(job, export, name, json.dumps(content, indent=1) + "\n")


def used_domains(job: ExportJob) -> list[str]:
    return [name for name, share in job.recipe.run_shares().items() if share > 0]


def held_domains(job: ExportJob, export: Export) -> list[str]:
    """The used domains that have held-out documents; the others are noted, for trainers that validate on what is there.

    Raises RequestError where a used domain has nothing to train on: an empty file stops a trainer, or hangs it.
    """
    used = used_domains(job)
    empty = [name for name in used if not job.tokens(name).documents]
    if empty:
        raise RequestError(
            f"{export.trainer}: {', '.join(empty)} has no document to train on, and the recipe gives it a share"
        )
    held = [name for name in used if job.tokens(name, "heldout").documents]
    bare = [name for name in used if name not in held]
    if bare:
        export.notes.append(f"not validated on, because they have no held-out documents: {', '.join(bare)}")
    return held


def need_held_out(job: ExportJob, export: Export, tokens: int = 1) -> None:
    """Refuse where there are fewer held-out tokens than the trainer's validation file must have."""
    there = sum(job.tokens(name, "heldout").tokens for name in held_domains(job, export))
    if there < tokens:
        raise RequestError(
            f"{export.trainer} reads a validation file of at least {tokens} tokens, and {there} are held out; run: "
            f"gristmill tokenize --heldout SHARE --force"
        )
