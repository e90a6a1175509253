"""The four verbs that build every graph: map shards, group by key, gather, commit. Stages touch Beam by them alone.

What travels between steps is small: a work item, a block of columns, a report. The list of all work never travels as
one element: beyond `BLOCK` items it lies in files of the workspace, and an element is a place in one. A worker
that finds the record of an item among the unfinished work of its stage reports it and does nothing.
"""

import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, cast, overload
from urllib.parse import quote

from ...corpus import processors
from ...corpus.store.commits import UNFINISHED, told_apart
from ...corpus.store.errors import WorkspaceError
from ...corpus.store.fate import ShardSource
from ...corpus.store.shards import Shard, filesystem, replacing
from ...corpus.store.soundness import is_sound
from ...corpus.store.workspace import Workspace
from .beam import beam
from .step import Step

BLOCK = 256  # work items that travel in one element or lie in one file
ELEMENTS = 256  # of work at least, where there is so much: a runner may give one element to one worker, and no less
SPILLED = 16 * BLOCK  # work items that are held in memory

Report = tuple[str, Shard]  # table, shard: what a worker has put in place


@dataclass(frozen=True)
class Work:
    """A work item: what becomes one shard of each table.

    name       unique within the stage
    made_from  shard or other thing it reads -> fingerprint; with the stage's settings and inputs, what decides its rows
    source     the documents, where it reads documents
    load       whatever else it needs, picklable and small
    stamp      filled in by the stage
    held       what an earlier run made of it, filled in by the stage, where rows of that can be kept
    lasting    of a stage over the whole set: what it made stays good when the set is another
    """

    name: str
    made_from: dict[str, str]
    source: ShardSource | None = None
    load: Any = None
    stamp: str = ""
    parts: tuple[str, ...] = ()  # the commits that lack it, filled in by the stage
    lasting: bool = False
    held: tuple[Report, ...] = ()

    @classmethod
    def of(cls, source: ShardSource, load: Any = None, **more: str) -> "Work":
        """The work on one shard of documents; `more` names further things it is made from."""
        return cls(source.shard, {**source.made_from, **more}, source, load)

    @property
    def key(self) -> str:
        """What shards say that made them."""
        return f"{self.name}@{self.stamp}" if self.lasting else self.name

    @property
    def documents(self) -> ShardSource:
        assert self.source is not None, f"{self.name} reads no documents"
        return self.source


class Pending(Sequence[Work]):
    """Work items to do, in the order in which they came. Beyond `SPILLED` they lie in a temporary file, by block."""

    def __init__(self, items: Iterable[Work] = ()) -> None:
        self._few: list[Work] = []
        self._file: IO[bytes] | None = None
        self._blocks: list[int] = []  # where each block of `BLOCK` begins
        for item in items:
            self.append(item)

    def append(self, item: Work) -> None:
        self._few.append(item)
        if len(self._few) >= (SPILLED if self._file is None else BLOCK):
            if self._file is None:
                self._file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as the list
            for at in range(0, len(self._few), BLOCK):
                self._blocks.append(self._file.tell())
                pickle.dump(tuple(self._few[at : at + BLOCK]), self._file)
            self._few = []

    def blocks(self) -> Iterator[Sequence[Work]]:
        """The items, `BLOCK` at a time."""
        for begin in self._blocks:
            yield self._block(begin)
        for at in range(0, len(self._few), BLOCK):
            yield self._few[at : at + BLOCK]

    def _block(self, begin: int) -> tuple[Work, ...]:
        assert self._file is not None
        self._file.seek(begin)
        found: tuple[Work, ...] = pickle.load(self._file)
        self._file.seek(0, os.SEEK_END)
        return found

    def __len__(self) -> int:
        return BLOCK * len(self._blocks) + len(self._few)

    def __iter__(self) -> Iterator[Work]:
        return (item for block in self.blocks() for item in block)

    @overload
    def __getitem__(self, index: int) -> Work: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Work]: ...
    def __getitem__(self, index: int | slice) -> Work | Sequence[Work]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        block, place = divmod(range(len(self))[index], BLOCK)
        if block < len(self._blocks):
            return self._block(self._blocks[block])[place]
        return self._few[BLOCK * (block - len(self._blocks)) + place]


Process = Callable[[Any, Work], Iterator[Report]]
Keep = Callable[[Any, Work, Process], Iterator[Report]]  # plan, item with what was `held` of it, how others are made


def map_shards(pipeline: beam.Pipeline, plan: Any, process: Process) -> Any:
    """Work items that are not done -> reports.

    process  plan, item -> (table, shard) for each shard that it wrote
    """
    return spread(_work(pipeline, plan), f"process {plan.stage}", _process, plan.bare, process)


def map_blocks(pipeline: beam.Pipeline, plan: Any, function: Callable[..., Iterator[Any]], *more: Any) -> Any:
    """Work items -> whatever `function(item, plan, *more)` yields for the next verb; nothing is recorded as done."""
    return spread(_work(pipeline, plan), f"read {plan.stage}", function, plan.bare, *more)


def infer_shards(pipeline: beam.Pipeline, plan: Any, handler: Any) -> Any:
    """Work items -> a model of Beam's RunInference, whose predictions are lists of reports."""
    from apache_beam.ml.inference.base import RunInference

    return (
        spread(_work(pipeline, plan), "one by one", _alone)
        | f"process {plan.stage}" >> RunInference(handler)
        | "reports" >> beam.FlatMap(lambda result: result.inference)
    )


def group_by_key(blocks: Any, label: str, function: Callable[..., Iterator[Any]], *more: Any) -> Any:
    """(key, block) ... -> what `function((key, blocks), *more)` yields, once for each key."""
    return blocks | f"group {label}" >> beam.GroupByKey() | label >> beam.ParDo(Step(function, *more))


def gather(blocks: Any, label: str, function: Callable[..., Iterator[Any]], *more: Any) -> Any:
    """Everything in one group -> what `function(blocks, *more)` yields; it is called where nothing came, too.

    Blocks come in no order: `function` must give the same for any.
    """
    whole = blocks | f"one group {label}" >> beam.ParDo(Step(_under_zero))
    begun = blocks.pipeline | f"begin {label}" >> beam.Create([(0, None)])
    return (
        (whole, begun)
        | f"with a beginning {label}" >> beam.Flatten()
        | f"gather {label}" >> beam.GroupByKey()
        | label >> beam.ParDo(Step(_gathered, function, *more))
    )


def _under_zero(block: Any) -> Iterator[tuple[int, Any]]:
    yield 0, block


def _gathered(group: tuple[int, Iterable[Any]], function: Callable[..., Iterator[Any]], *more: Any) -> Iterator[Any]:
    yield from function((block for block in group[1] if block is not None), *more)


def run_once(pipeline: beam.Pipeline, label: str, function: Callable[..., Iterator[Any]], plan: Any) -> Any:
    """`function(nothing, plan)` on one worker: a graph whose work cannot be divided."""
    return pipeline | f"begin {label}" >> beam.Create([None]) | label >> beam.ParDo(Step(_once, function, plan.bare))


def _once(_: None, function: Callable[..., Iterator[Any]], plan: Any) -> Iterator[Any]:
    yield from function(iter(()), plan)


def spread(items: Any, label: str, function: Callable[..., Iterator[Any]], *more: Any) -> Any:
    """(key, item) ... -> what `function(item, *more)` yields, each item on whichever worker is free."""
    return group_by_key(items, label, _each, function, *more)


def _each(group: tuple[Any, Iterable[Any]], function: Callable[..., Iterator[Any]], *more: Any) -> Iterator[Any]:
    for item in group[1]:
        yield from function(item, *more)


def commit(reports: Any, plan: Any) -> Any:
    """Hand everything over to the process that asked for the run, which commits: the end of every graph."""
    return gather(reports, f"commit {plan.stage}", _hand_over, plan.bare)


# ---- how it is done


def _work(pipeline: beam.Pipeline, plan: Any) -> Any:
    """(key, item) of the work items, each under a key of its own, to be `spread`."""
    work = plan.work
    if len(work) <= BLOCK:
        return pipeline | "work" >> beam.Create(list(enumerate(work)), reshuffle=False)
    pending = work if isinstance(work, Pending) else Pending(work)
    each = items_of_an_element(len(pending))
    elements = [one for number, block in enumerate(pending.blocks()) for one in _write_block(plan, number, block, each)]
    made = pipeline | "blocks" >> beam.Create(list(enumerate(elements)), reshuffle=False)
    return spread(made, "read blocks", _read_block)


def _alone(item: Any) -> Iterator[Any]:
    yield item


def items_of_an_element(items: int) -> int:
    """Work items that one element stands for: at most a block, and few enough that no worker of many has none."""
    return max(1, min(BLOCK, items // ELEMENTS))


def _write_block(plan: Any, number: int, work: Sequence[Work], each: int) -> list[tuple[str, int]]:
    """A file of work items; (file, where the items of an element begin in it) of each element."""
    url = plan.workspace.path(folder_of(plan.stage), f"work-{number:06d}.pickle")
    begins = []
    with replacing(url) as scratch, open(scratch, "wb") as file:
        for at in range(0, len(work), each):
            begins.append(file.tell())
            pickle.dump(tuple(work[at : at + each]), file)
    return [(url, begin) for begin in begins]


def _read_block(element: tuple[str, int]) -> Iterator[tuple[str, Work]]:
    """The items of an element, each under a key of its own."""
    url, begin = element
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        file.seek(begin)
        for number, item in enumerate(pickle.load(cast(IO[bytes], file))):
            yield f"{number} {begin} {url}", item


def _process(item: Work, plan: Any, process: Process) -> Iterator[Report]:
    yield from done_or(plan, item, process)


def done_or(plan: Any, item: Work, process: Process) -> list[Report]:
    """The reports of an item: from its record where it is done, else of doing it now."""
    found = recorded(plan.workspace, plan.stage, item.stamp)
    if found is None and item.lasting:
        found = _in_force(plan, item)
    if found is None:
        kept = bool(item.held) and _there(plan.workspace, item.held)
        made = plan.keep(plan, item, process) if kept else process(plan, item)
        kinds = _processors(item.held if kept else ()) if plan.models else {}
        found = [(table, replace(shard, item=item.key, counts={**shard.counts, **kinds})) for table, shard in made]
        record(plan.workspace, plan.stage, item.stamp, found)
    return found


def _processors(held: Sequence[Report]) -> dict[str, int]:
    """Counts of the kinds of processors that rows of a shard were computed on: this one, and those of rows kept."""
    before = {name for _, shard in held for name in shard.counts if name.startswith(processors.COUNT)}
    return dict.fromkeys(sorted({*before, processors.COUNT + processors.kind()}), 1)


def _in_force(plan: Any, item: Work) -> list[Report] | None:
    """What an earlier run made of the same item and is in force yet."""
    held = told_apart(plan.workspace.url)[0].get(plan.stage)
    tables = held.tables if held is not None else {}
    found = [(name, shard) for name, table in tables.items() for shard in table.shards if shard.item == item.key]
    return found if found and _there(plan.workspace, found) else None


def _hand_over(reports: Iterator[Any], plan: Any) -> Iterator[str]:
    url = plan.workspace.path(folder_of(plan.stage), REPORTS)
    with replacing(url) as scratch, open(scratch, "w", encoding="utf-8") as file:
        for report in reports:
            told = report if isinstance(report, dict) else [report[0], vars(report[1])]
            file.write(json.dumps(told) + "\n")
    yield url


# ---- unfinished work

REPORTS = "reports.jsonl"


def folder_of(stage: str) -> str:
    """Where the records of a stage's unfinished work lie in a workspace."""
    return f"{UNFINISHED}/{quote(stage, safe='')}"


def record(workspace: Workspace, stage: str, stamp: str, reports: Sequence[Report]) -> None:
    """Put on record that an item is done, so that a killed run goes on after it; after a power cut it may be lost."""
    url = workspace.path(folder_of(stage), f"{stamp}.json")
    with replacing(url, durable=False) as scratch, open(scratch, "w") as file:
        file.write(json.dumps([[table, vars(shard)] for table, shard in reports]))


def recorded(workspace: Workspace, stage: str, stamp: str) -> list[Report] | None:
    """What the record of an item says; None where there is none, and where what it names is not there as it was put."""
    fs, path = filesystem(workspace.path(folder_of(stage), f"{stamp}.json"))
    try:
        found = [(table, Shard(**told)) for table, told in json.loads(fs.cat_file(path))]
    except (FileNotFoundError, ValueError):
        return None
    return found if _there(workspace, found) else None


def _there(workspace: Workspace, reports: Sequence[Report]) -> bool:
    """Whether all that reports name is there as it was put."""
    return all(is_sound(*filesystem(workspace.table(table).file_url(shard))) for table, shard in reports)


def begun(workspace: Workspace, stage: str) -> bool:
    """Whether there is unfinished work of a stage."""
    fs, path = filesystem(workspace.path(folder_of(stage)))
    return bool(fs.exists(path))


def handed_over(workspace: Workspace, stage: str) -> tuple[list[Report], list[dict[str, Any]]]:
    """(reports of shards, findings) that the graph of a stage ended with."""
    fs, path = filesystem(workspace.path(folder_of(stage), REPORTS))
    if not fs.exists(path):
        raise WorkspaceError(f"{stage} ended without a report in {workspace.url}; run it again")
    shards: list[Report] = []
    findings: list[dict[str, Any]] = []
    with fs.open(path, "rb") as file:
        for line in file:
            told = json.loads(line)
            if isinstance(told, dict):
                findings.append(told)
            else:
                shards.append((told[0], Shard(**told[1])))
    return shards, findings


def forget(workspace: Workspace, stage: str) -> None:
    """Remove the records of a stage's unfinished work."""
    fs, path = filesystem(workspace.path(folder_of(stage)))
    if fs.exists(path):
        fs.rm(path, recursive=True)


def orphans(workspace: Workspace, stage: str) -> set[str]:
    """TABLE/FILE of everything that the records of unfinished work name."""
    fs, path = filesystem(workspace.path(folder_of(stage)))
    if not fs.exists(path):
        return set()
    named: set[str] = set()
    for entry in fs.ls(path, detail=False):
        if os.path.basename(entry).startswith(".") or not entry.endswith(".json"):
            continue
        try:
            named |= {f"{table}/{told['file']}" for table, told in json.loads(fs.cat_file(entry))}
        except ValueError:  # cut short by a machine that lost its power: what it named is swept with the table
            continue
    return named
