"""What a run will cost, from a sample of its inputs: CPU hours, memory, bytes, GPU hours and money of each stage.

Pieces of the inputs are drawn by the hash of their names, so that each byte is as likely as any other: a large file
counts by its pieces, many small ones by what they hold together. Two samples, the second several times the first, tell
what a stage costs once from what it costs for each byte; the whole is on the line through both. Runs in a scratch
folder, in this process; stages that need a model or write outside of the workspace are named, not run.
Refuses a file without inputs, and inputs of which no piece fits the time.
"""

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...corpus.planning.ledger import Ledger, Lot
from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from ..engine.run import RunFile, calls
from ..engine.runner import RunnerOptions
from ..stages.extract.planned import Asked, planned
from ..stages.extract.stage import run_asked
from .prices import Prices
from .settings import BatchCluster, Cluster, KubernetesCluster, bytes_of

RUN = ("filter", "refine", "decontaminate", "dedup", "tokenize", "balance")  # whose cost is the corpus's
PIECE = 1 << 20  # input bytes of a piece of the sample
FIRST = 4 << 20  # of the first sample
MOST = 16.0  # times that the second may be larger


@dataclass(frozen=True)
class Spent:
    """What one stage took on one sample."""

    stage: str
    given: int  # bytes of input that the sample stands for
    cpu: float  # seconds, children included
    memory: int  # bytes at the peak, of this process
    read: int  # bytes, whatever came of the cache
    written: int  # bytes, in the workspace


@dataclass(frozen=True)
class Expected:
    """What a stage is expected to take on all of the inputs."""

    stage: str
    cpu_hours: float
    memory: int
    read: int
    written: int
    gpu_hours: float = 0.0

    def money(self, prices: Prices) -> float:
        return self.cpu_hours * prices.cpu_hour + self.gpu_hours * prices.gpu_hour


def estimate(settings: RunFile, minutes: float = 2.0, portion: float = 1.0) -> dict[str, Any]:
    """{bytes, sample, seconds, stages: [...], total, notes}. RequestError where there is nothing to draw from.

    minutes  that it may take, about; portion: share of the inputs that it may read at most
    """
    began = time.monotonic()
    sections = settings.sections()
    extract = sections.get("extract")
    if extract is None or not extract.inputs:
        raise RequestError("an estimate needs the section extract with its inputs: it draws its sample from them")
    with tempfile.TemporaryDirectory(prefix="gristmill-estimate-") as folder:
        fine = extract.model_copy(update={"shard_bytes": PIECE})
        asked = planned(Workspace(f"{folder}/plan"), fine)
        whole = weight(asked.ledger.lots)
        lots, left_out = drawable(asked.ledger.lots, minutes)
        if not lots:
            raise RequestError("no piece of the inputs is small enough to be drawn; none of the files can be cut")
        rest = {name: section for name, section in sections.items() if name in RUN}
        room = int(portion * weight(lots))
        first = sample(lots, min(FIRST, room // 4))
        small = list(_measured(Path(folder) / "small", asked, fine, first, rest))
        share = larger(weight(first), room, time.monotonic() - began, minutes * 60)
        runs = [small]
        if share > 1.5:
            second = sample(lots, int(share * weight(first)))
            runs.append(list(_measured(Path(folder) / "large", asked, fine, second, rest)))
    stages = [expected([run[place] for run in runs], whole) for place in range(len(small))]
    stages += _training(sections, settings.prices)
    return told(stages, settings, whole, runs[-1][0].given, time.monotonic() - began, left_out, sections)


# ---- the sample


def weight(lots: Sequence[Lot]) -> int:
    """Bytes of input that pieces of work stand for."""
    return sum(piece.weight for lot in lots for piece in lot.pieces)


def drawable(lots: Sequence[Lot], minutes: float) -> tuple[list[Lot], list[str]]:
    """(pieces that fit the time, files that cannot be cut and do not)."""
    room = max(4 * PIECE, int(minutes * 60e6))
    fit = [lot for lot in lots if weight([lot]) <= room]
    return fit, [lot.pieces[0].path for lot in lots if weight([lot]) > room]


def sample(lots: Sequence[Lot], wanted: int) -> list[Lot]:
    """Pieces in the order of the hash of their names, until they hold the bytes wanted; at least one."""
    ordered = sorted(lots, key=lambda lot: hashlib.blake2b(lot.name.encode(), digest_size=8).digest())
    taken: list[Lot] = []
    have = 0
    for lot in ordered:
        if taken and have >= wanted:
            break
        taken.append(lot)
        have += weight([lot])
    return sorted(taken, key=lambda lot: lot.name)


def larger(first: int, whole: int, took: float, seconds: float) -> float:
    """How many times the first sample the second may be: what is left of the time, and of the inputs."""
    return min(MOST, whole / max(first, 1), max(0.0, seconds - took) / max(took, 0.1))


def _measured(
    place: Path, asked: Asked, settings: Any, lots: Sequence[Lot], rest: Mapping[str, Any]
) -> Iterator[Spent]:
    """Extract the sample into a workspace of its own and run the stages over it, each measured."""
    workspace = Workspace(str(place))
    files = {piece.file for lot in lots for piece in lot.pieces}
    ledger = Ledger(tuple(file for file in asked.ledger.files if file.file in files), tuple(lots))
    own = replace(asked, planned=replace(asked.planned, ledger=ledger))
    given = weight(lots)
    meter = _Meter(place)
    run_asked(workspace, settings, own, RunnerOptions(), quiet=True)
    yield meter.spent("extract", given)
    for call in calls(rest, workspace, RunnerOptions(), force=False, quiet=True):
        for _ in call.summaries():
            pass
        yield meter.spent(call.record.name, given)


class _Meter:
    """What was used since the last question."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._begin()

    def _begin(self) -> None:
        _forget_peak()
        self.cpu, self.read, self.written = cpu_seconds(), _bytes_read(), _size(self.place)

    def spent(self, stage: str, given: int) -> Spent:
        found = Spent(
            stage, given, cpu_seconds() - self.cpu, _peak(), _bytes_read() - self.read, _size(self.place) - self.written
        )
        self._begin()
        return found


def cpu_seconds() -> float:
    """CPU seconds of this process, of its children that ended, and of those that live: a sandbox outlives a stage."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) + _of_the_living()


def _of_the_living() -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, tuple[int, float]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            parents[int(name)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
    below, found = {os.getpid()}, 0.0
    while more := {pid for pid, (parent, _) in parents.items() if parent in below and pid not in below}:
        below |= more
        found += sum(parents[pid][1] for pid in more)
    return found


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # the peak is that of the process then, which is no less


def _peak() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bytes_read() -> int:
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("rchar"))
    except (OSError, StopIteration):
        return 0


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


# ---- from the sample to the whole


def expected(spent: Sequence[Spent], whole: int) -> Expected:
    """The line through one or two samples, at the whole. What is spent once counts once; nothing becomes less."""
    last = spent[-1]

    def at(values: Sequence[float]) -> float:
        if len(values) < 2 or spent[1].given <= spent[0].given:
            return values[-1] * max(1.0, whole / max(last.given, 1))
        slope = max(0.0, (values[1] - values[0]) / (spent[1].given - spent[0].given))
        return max(values[1], values[1] + slope * (whole - spent[1].given))

    return Expected(
        last.stage,
        at([each.cpu for each in spent]) / 3600,
        max(each.memory for each in spent),
        int(at([float(each.read) for each in spent])),
        int(at([float(each.written) for each in spent])),
    )


def _training(sections: Mapping[str, Any], prices: Prices) -> list[Expected]:
    """GPU hours by the operations of the steps, where the file says the model and the tokens."""
    train, mix = sections.get("train"), sections.get("mix")
    tokens = getattr(train, "total_tokens", None) or getattr(mix, "total_tokens", None)
    if train is None or not train.model or not tokens:
        return []
    from ...training.transformer import flops_per_token, size

    length = getattr(train, "seq_len", None) or 2048
    vocabulary = getattr(sections.get("tokenize"), "vocab_size", None) or 32768
    operations = flops_per_token(size(train.model, vocabulary, length), length) * tokens
    return [Expected("train", 0.0, 0, 0, 0, operations / prices.gpu_flops / 3600)]


def told(
    stages: Sequence[Expected], settings: RunFile, whole: int, given: int, seconds: float, left_out: Sequence[str],
    sections: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The estimate as plain data."""
    prices = settings.prices
    known = {each.stage for each in stages}
    rows = [
        {
            "stage": each.stage,
            "cpu_hours": round(each.cpu_hours, 4),
            "memory": each.memory,
            "read": each.read,
            "written": each.written,
            "gpu_hours": round(each.gpu_hours, 4),
            "money": round(each.money(prices), 4),
        }
        for each in stages
    ]
    notes = [f"not estimated: {name}" for name in sections if name not in known]
    if left_out:
        notes.append(
            f"{len(left_out)} files cannot be cut and are too large to be drawn ({', '.join(left_out[:3])}); they "
            "count by what the others took for a byte"
        )
    return {
        "bytes": whole,
        "sample": given,
        "seconds": round(seconds, 1),
        "stages": rows,
        "total": {name: round(sum(row[name] for row in rows), 4) for name in ("cpu_hours", "gpu_hours", "money")},
        "memory": max((each.memory for each in stages), default=0),
        "currency": prices.currency,
        "notes": notes,
        "processors": os.cpu_count(),
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The estimate as a table."""
    sample = f"a sample of {found['sample'] / 1e6:.1f} MB in {found['seconds']} s"
    yield f"{found['bytes'] / 1e9:.3f} GB of input, by {sample}"
    head = {"CPU hours": 10, "memory GB": 10, "read GB": 9, "written GB": 11, "GPU hours": 10, "cost": 10}
    yield f"{'stage':<14} {' '.join(f'{name:>{width}}' for name, width in head.items())}"
    for row in found["stages"]:
        yield (
            f"{row['stage']:<14} {row['cpu_hours']:>10.4f} {row['memory'] / 1e9:>10.2f} {row['read'] / 1e9:>9.3f} "
            f"{row['written'] / 1e9:>11.3f} {row['gpu_hours']:>10.2f} {row['money']:>10.2f}"
        )
    total = found["total"]
    yield (
        f"{'all':<14} {total['cpu_hours']:>10.4f} {found['memory'] / 1e9:>10.2f} {'':>9} {'':>11} "
        f"{total['gpu_hours']:>10.2f} {total['money']:>10.2f} {found['currency']}"
    )
    yield from (f"note: {note}" for note in found["notes"])


def on_cluster(found: Mapping[str, Any], cluster: Cluster) -> Iterator[str]:
    """How long the workers of a cluster need at least, and whether what each is given is enough."""
    if isinstance(cluster, BatchCluster | KubernetesCluster):
        hours = found["total"]["cpu_hours"] / cluster.most
        yield f"{cluster.most} workers need {hours:.2f} hours at least, if no file keeps one of them longer"
        if found["memory"] > bytes_of(cluster.memory):
            yield (
                f"a worker needs {found['memory'] / 1e9:.1f} GB and is given {cluster.memory}; set memory: "
                f"{found['memory'] / 1e9 * 1.25:.0f}GB"
            )
