"""The loader: which tokens a step sees is a pure function of (seed, phases, step).

A phase is cut into blocks of rows. In every block each domain has an exact number of rows, in an order drawn from the
block's own permutation; a domain's rows are taken in turn, and each pass over them (an epoch) has an order of its own
(two epochs overlap by less than a block). Nothing is stored and nothing is replayed: any row of the run is found by
arithmetic, so the state of a run is one integer, and any number of ranks read the same stream. Shares are shares of
target tokens after packing: a domain whose rows are part padding gets more rows. What rows cannot express is reported
by `plan()` as requested against realised.

Refuses a phase that names a domain without tokens, and a non-zero share that would get no row at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ...corpus.compiling import compiled
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.shards import fingerprint
from .lengths import bucket_order, bucket_sizes
from .packing import VERSION, Packing, Rows
from .permutation import derive, key_of, permute
from .shards import TokenDomain

BLOCKS = tuple(1 << k for k in range(6, 17))  # block sizes tried, in rows
TOLERANCE = 2e-4  # largest difference between a share and its count in a block that ends the search for a block size


@dataclass(frozen=True)
class Phase:
    """A stretch of the run with one mixture.

    until      fraction of the run at which the phase ends
    shares     domain -> share of the phase's target tokens; they need not sum to one
    packing    concat, bestfit or decompose (rows of many lengths, constant tokens per step)
    metadata   keep the metadata prefixes (they carry no loss); False strips them
    subset     domain -> fraction of it that the phase repeats instead of reading all once: of its rows, at random;
               of its tokens, in the documents of the best `quality`, where the domain has that and `best` is set
    curriculum decompose: natural, uniform, grow-p2 (short rows first, in cycles) and the others of `lengths`
    """

    until: float
    shares: Mapping[str, float]
    seq_len: int
    packing: str = "concat"
    metadata: bool = False
    subset: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    curriculum: str = "natural"
    cycles: int = 8
    shortest: int = 0  # decompose: shortest bucket, 0 for seq_len / 32


@dataclass(frozen=True)
class Batch:
    """What one rank reads at one step. Arrays (R, T) of numpy; a target of -100 has no loss."""

    ids: np.ndarray  # int64
    targets: np.ndarray  # int64
    documents: np.ndarray  # int32, equal numbers for tokens of one document; (0, T) unless asked for
    domains: np.ndarray  # (R,) int64, positions in Loader.names
    phase: int


class Stretch:
    """Rows of one packing under one mixture: the arithmetic from a row number to a domain and its draw."""

    def __init__(self, key: np.uint64, counts: np.ndarray, block: int, rows: int, full: int, tail: np.ndarray) -> None:
        self.key, self.block, self.rows, self.full = key, block, rows, full
        self.counts, self.tail = counts, tail  # (D,) rows per domain in a block, and in what is left after the last
        self.before = np.zeros(len(counts), np.int64)  # draws that earlier phases made from the same rows

    @property
    def draws(self) -> np.ndarray:
        """(D,) rows of each domain in the whole stretch."""
        return self.counts * self.full + self.tail

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (R,) -> domain (R,), draw (R,): the how-manieth row of that domain in the run."""
        edges, tail = np.concatenate(([0], np.cumsum(self.counts))), np.concatenate(([0], np.cumsum(self.tail)))
        return locate(rows, self.block, self.full, edges, tail, self.before, self.key)


@compiled
def locate(rows: Any, block: int, full: int, edges: Any, tail_edges: Any, before: Any, key: Any) -> Any:
    domains, draws = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        number = min(rows[i] // block, full)
        last = number == full
        bounds = tail_edges if last else edges
        slot = permute(rows[i] - number * block, bounds[-1], derive(key, number))
        domain = np.searchsorted(bounds, slot, side="right") - 1
        domains[i] = domain
        draws[i] = before[domain] + number * (edges[domain + 1] - edges[domain]) + slot - bounds[domain]
    return domains, draws


@compiled
def row_of(draws: Any, count: int, subset: Any, key: Any) -> Any:  # draws of one domain (R,) -> rows (R,)
    out = np.empty(len(draws), np.int64)
    for i in range(len(draws)):
        row = permute(draws[i] % subset, subset, derive(key, draws[i] // subset + 1))
        out[i] = permute(row, count, derive(key, 0)) if subset < count else row
    return out


def apportion(weights: np.ndarray, seats: int, rare: bool = True) -> np.ndarray:
    """Largest remainder, ties to the first. `rare`: every positive weight gets a seat where there are enough."""
    exact = weights / max(weights.sum(), 1e-300) * seats
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: seats - int(counts.sum())]] += 1
    if rare and seats >= int((weights > 0).sum()):
        for i in np.flatnonzero((weights > 0) & (counts == 0)):
            counts[np.argmax(counts)] -= 1
            counts[i] += 1
    return counts


def fitted(cells: np.ndarray, fill: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Positions (K, D) scaled, in turn by columns and by rows, until rows sum to `rows` (K,) and the targets they hold
    (cells x fill) are divided over domains as `columns` (D,) says, so that whole steps of each length leave the shares
    of domains what they were; as near as can be where zeros forbid it."""
    for _ in range(100):
        held = (cells * fill).sum(0)
        cells = cells * (columns * held.sum() / np.maximum(held, 1e-300))
        cells = cells * (rows / np.maximum(cells.sum(1), 1e-300))[:, None]
    return cells


def stretch(key: np.uint64, weights: np.ndarray, rows: int) -> Stretch:
    """The smallest block that expresses the weights, and a tail that mends what rounding left over."""
    shares = weights / max(weights.sum(), 1e-300)
    whole = apportion(weights, rows) if rows else np.zeros(len(weights), np.int64)
    block, counts = 0, whole
    for block in (size for size in BLOCKS if size <= rows):
        counts = apportion(weights, block, rare=False)
        error = np.abs(counts / block - shares)
        if error.max() <= TOLERANCE and (error <= 0.02 * shares).all():
            break
    if not block:
        return Stretch(key, np.zeros_like(whole), 1, rows, 0, whole)
    full = rows // block
    if (whole[counts == 0] > 0).any():
        full -= 1  # the tail is where a domain rarer than one row in a block gets its rows
    missing = np.maximum(whole - counts * full, 0)
    left = rows - full * block
    tail = apportion(missing, left) if left else np.zeros_like(whole)
    return Stretch(key, counts, block, rows, full, tail)


@dataclass(frozen=True)
class Part:
    """Rows of one length within a phase."""

    packing: Packing
    stretch: Stretch
    subset: np.ndarray  # (D,) rows of each domain that are used
    sources: list[Rows | None]  # of each domain; None where it has no share


class Loader:
    """Batches of a run by step. Holds the domains' plans, no position."""

    def __init__(
        self,
        domains: Mapping[str, TokenDomain],
        phases: Sequence[Phase],
        total_tokens: int,
        batch_tokens: int,
        seed: int = 0,
        planned: int | None = None,
    ) -> None:
        """planned: phases whose shares are known; None: all. The others follow one by one, by `plan_next`."""
        self.phases, self.batch_tokens, self.seed = tuple(phases), batch_tokens, seed
        self.steps = max(1, round(total_tokens / batch_tokens))
        self.ends = check_phases(phases, batch_tokens, self.steps)
        wanted = sorted({name for phase in phases for name, share in phase.shares.items() if share > 0})
        for name in wanted:
            if name not in domains:
                raise unknown_name("domain", name, domains, "the mixture")
        self.names = tuple(wanted)
        self.domains = {name: domains[name] for name in wanted}
        self._rows: dict[tuple[str, Packing, float], Rows] = {}
        self.fingerprint = self._fingerprint()
        self.forget()
        for phase in self.phases[:planned]:
            self._plan_phase(phase)
            self._refuse_shares_without_a_row(phase)

    def forget(self) -> None:
        """No phase is planned; `plan_next` begins with the first."""
        self.parts: list[list[Part]] = []
        self.orders: list[np.ndarray] = []  # decompose: (steps,) the bucket of each step; else empty
        self._seen: list[np.ndarray] = []  # decompose: (buckets, steps + 1) steps of a bucket before each step
        self._before: dict[tuple[str, str, int, float], int] = {}  # draws of a domain's rows by the phases planned

    def plan_next(self, shares: Mapping[str, float]) -> None:
        """Plan the first phase that is not planned yet, under these shares; domains stay those the run began with."""
        number = len(self.parts)
        phase = replace(self.phases[number], shares=dict(shares))
        self.phases = (*self.phases[:number], phase, *self.phases[number + 1 :])
        self._plan_phase(phase)

    @property
    def planned_steps(self) -> int:
        """Steps that can be read."""
        return int(self.ends[len(self.parts) - 1]) if self.parts else 0

    def _fingerprint(self) -> str:
        """Of everything that decides the stream as it begins: a run resumes only under the same one."""
        return fingerprint(
            VERSION,
            self.seed,
            self.steps,
            self.batch_tokens,
            [asdict(phase) for phase in self.phases],
            {name: domain.fingerprint for name, domain in self.domains.items()},
            *[[name, domain.quality_fingerprint] for name, domain in self.domains.items() if self._by_quality(name)],
        )

    def _by_quality(self, name: str) -> bool:
        return any(phase.best and phase.subset.get(name, 1.0) < 1.0 for phase in self.phases)

    def rows(self, name: str, packing: Packing, best: float = 1.0) -> Rows:
        """The rows of a domain, of its best documents with that share of its tokens."""
        if (name, packing, best) not in self._rows:
            domain = self.domains[name]
            self._rows[name, packing, best] = Rows(domain, packing, domain.best(best) if best < 1.0 else None)
        return self._rows[name, packing, best]

    def _plan_phase(self, phase: Phase) -> None:
        number = len(self.parts)
        steps = self.ends[number] - (self.ends[number - 1] if number else 0)
        shares = np.array([phase.shares.get(name, 0.0) for name in self.names])
        fractions = np.array([phase.subset.get(name, 1.0) for name in self.names])
        if phase.packing == "decompose":
            buckets = bucket_sizes(phase.seq_len, phase.shortest)
            packings = [Packing("decompose", size, phase.metadata, buckets[-1], buckets[0]) for size in buckets]
        else:
            packings = [Packing(phase.packing, phase.seq_len, phase.metadata)]
        best = fractions if phase.best else np.ones_like(fractions)
        sources = [[self.rows(name, packing, float(best[d])) if shares[d] > 0 else None
                    for d, name in enumerate(self.names)] for packing in packings]  # fmt: skip
        # (buckets, D) target tokens that each cell holds
        held = np.array([[rows.targets if rows else 0 for rows in row] for row in sources], float)
        empty = [n for n, s, t in zip(self.names, shares, held.sum(0), strict=True) if s > 0 and t == 0]
        if empty:
            raise RequestError(
                f"phase {number + 1} gives a share to {', '.join(empty)}, where no row of {phase.seq_len} tokens "
                f"({phase.packing}) can be cut; drop the domain or change the packing"
            )
        sizes = np.array([[packing.seq_len] for packing in packings])
        counts = np.array([[len(rows) if rows else 0 for rows in row] for row in sources], np.int64)
        fill = np.where(counts > 0, held / np.maximum(counts * sizes, 1), 0.0)  # targets of a position
        cells = held / np.where(held.sum(0) > 0, held.sum(0), 1) * shares  # targets, then positions that hold them
        cells = np.where(held > 0, cells / np.where(held > 0, fill, 1), 0.0)
        step_counts = apportion(cells.sum(1), steps)
        if len(packings) > 1:
            cells = fitted(cells, fill, step_counts / steps, shares / shares.sum())
        order, seen = np.zeros(0, np.int8), np.zeros((0, 0), np.int32)
        if phase.packing == "decompose":
            key = key_of(self.seed, "lengths", number)
            order = bucket_order(step_counts, phase.curriculum, phase.cycles, key)
            seen = np.stack([np.concatenate(([0], np.cumsum(order == k))) for k in range(len(packings))])
        parts = []
        for k, packing in enumerate(packings):
            rows = int(step_counts[k]) * (self.batch_tokens // packing.seq_len)
            subset = np.maximum(1, np.floor(counts[k] * (1.0 if phase.best else fractions) + 1e-9).astype(np.int64))
            made = stretch(key_of(self.seed, "order", number, packing.name), cells[k], rows)
            for d, name in enumerate(self.names):
                cell = (name, packing.name, int(subset[d]), float(best[d]))
                made.before[d] = self._before.get(cell, 0)
                self._before[cell] = int(made.before[d] + made.draws[d])
            parts.append(Part(packing, made, subset, sources[k]))
        self.parts.append(parts)
        self.orders.append(order)
        self._seen.append(seen)

    def _refuse_shares_without_a_row(self, phase: Phase) -> None:
        parts = self.parts[-1]
        drawn = np.sum([part.stretch.draws for part in parts], 0)
        rows = sum(part.stretch.rows for part in parts)
        lost = [name for d, name in enumerate(self.names) if phase.shares.get(name, 0.0) > 0 and drawn[d] == 0]
        if lost:
            raise RequestError(
                f"phase {len(self.parts)} has {rows} rows of {phase.seq_len} tokens, in which the share of "
                f"{', '.join(lost)} gets no row; use more tokens, shorter rows, or drop the domain"
            )

    def batch(self, step: int, rank: int = 0, world: int = 1, documents: bool = False) -> Batch:
        """What `rank` of `world` reads at `step`: its consecutive part of the step's rows."""
        if not 0 <= step < self.planned_steps:
            raise IndexError(f"of {self.steps} steps {self.planned_steps} are planned, asked for step {step}")
        number = int(np.searchsorted(self.ends, step, side="right"))
        local = step - (self.ends[number - 1] if number else 0)
        part = self.parts[number][0]
        if len(self.orders[number]):
            bucket = int(self.orders[number][local])
            part, local = self.parts[number][bucket], int(self._seen[number][bucket][local])
        count = self.batch_tokens // part.packing.seq_len
        if count % world:
            raise RequestError(
                f"{count} rows of {part.packing.seq_len} tokens do not split over {world} ranks; "
                f"change batch_tokens ({self.batch_tokens})"
            )
        mine = count // world
        return self.read(number, part, local * count + rank * mine + np.arange(mine, dtype=np.int64), documents)

    def read(self, number: int, part: Part, rows: np.ndarray, documents: bool = False) -> Batch:
        """Rows (R,) of a part, by their numbers in it."""
        length = part.packing.seq_len
        ids, targets = np.empty((len(rows), length), np.int64), np.empty((len(rows), length), np.int64)
        owners = np.empty((len(rows) if documents else 0, length), np.int32)
        domains, draws = part.stretch.locate(rows)
        for d in np.unique(domains):
            places = np.flatnonzero(domains == d)
            source = part.sources[d]
            assert source is not None  # a domain without a share has no draws
            key = key_of(self.seed, "rows", self.names[d], part.packing.name)
            chosen = row_of(draws[places], len(source), int(part.subset[d]), key)
            source.fill(chosen, places, ids, targets, owners)
        return Batch(ids, targets, owners, domains, number)

    def drawn(self, part: Part, d: int) -> int:
        """Targets with loss of domain d in all rows of a part: whole passes by their sum, others row by row."""
        source, used = part.sources[d], int(part.subset[d])
        assert source is not None  # a domain without a share has no draws
        begin, end = int(part.stretch.before[d]), int(part.stretch.before[d] + part.stretch.draws[d])
        key = key_of(self.seed, "rows", self.names[d], part.packing.name)

        def of(first: int, last: int) -> int:
            return int(source.row_targets[row_of(np.arange(first, last, dtype=np.int64), len(source), used, key)].sum())

        first, last = -(-begin // used), end // used  # whole passes
        if first >= last:
            return of(begin, end)
        whole = source.targets if used == len(source) else of(0, used)
        return of(begin, first * used) + (last - first) * whole + of(last * used, end)

    def plan(self) -> list[dict[str, Any]]:
        """Per phase and domain: requested and realised share of target tokens, tokens, epochs; and the total. Tokens
        are exactly the targets with loss that the phase will read.

        epochs are of all the domain's tokens, passes of what the phase uses of them (its subset).
        """
        report = []
        total = dict.fromkeys(self.names, 0.0)
        for number, (phase, parts) in enumerate(zip(self.phases, self.parts, strict=False)):
            tokens = np.zeros(len(self.names), np.int64)
            epochs, passes = np.zeros(len(self.names)), np.zeros(len(self.names))
            for part in parts:
                for d in range(len(self.names)):
                    draws = int(part.stretch.draws[d])
                    if draws:
                        tokens[d] += self.drawn(part, d)
                        passes[d] = max(passes[d], draws / part.subset[d])
            asked = np.array([phase.shares.get(name, 0.0) for name in self.names])
            for d, name in enumerate(self.names):
                epochs[d] = tokens[d] / max(1, self.domains[name].tokens)
                total[name] += epochs[d]
                report.append(
                    {
                        "phase": number + 1,
                        "domain": name,
                        "requested": float(asked[d] / asked.sum()),
                        "realised": float(tokens[d] / tokens.sum()) if tokens.sum() else 0.0,
                        "tokens": int(tokens[d]),
                        "epochs": float(epochs[d]),
                        "epochs_so_far": total[name],
                        "passes": float(passes[d]),
                    }
                )
        return report


def check_phases(phases: Sequence[Phase], batch_tokens: int, steps: int) -> np.ndarray:
    """Steps at which the phases end, or a RequestError that says what cannot be."""
    if not phases:
        raise RequestError("a run needs at least one phase")
    ends = [phase.until for phase in phases]
    if sorted(set(ends)) != ends or ends[-1] != 1.0 or ends[0] <= 0:
        raise RequestError(f"phases must end in order, the last at 1.0; they end at {ends}")
    for number, phase in enumerate(phases, 1):
        if batch_tokens % phase.seq_len:
            near = max(1, round(batch_tokens / phase.seq_len)) * phase.seq_len
            raise RequestError(
                f"phase {number}: batch_tokens {batch_tokens} is no multiple of seq_len {phase.seq_len}; try {near}"
            )
        if any(share < 0 for share in phase.shares.values()) or not sum(phase.shares.values()) > 0:
            raise RequestError(f"phase {number}: shares must not be negative and not all zero: {dict(phase.shares)}")
        for name, fraction in phase.subset.items():
            if not 0 < fraction <= 1:
                raise RequestError(f"phase {number}: subset of {name} must lie in (0, 1], it is {fraction}")
    bounds = np.array([round(end * steps) for end in ends], np.int64)
    if (np.diff(np.concatenate(([0], bounds))) <= 0).any():
        raise RequestError(f"{steps} steps are too few for phases that end at {ends}; use a smaller batch_tokens")
    return bounds
