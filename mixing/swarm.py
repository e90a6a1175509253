"""A swarm: mixtures that proxies were trained on and the losses they reached, as read from a table or a CSV pair.

Reads the CSV forms in use: a mixtures file and a losses file that share an id column (RegMix: `index`; Olmix: `run`,
beside which `name` and `index` are labels). Prefixes (`train_`, `metric/`) and suffixes (`_val_loss`) stay in names
and are only looked through when a target is matched with its own domain: a name means itself before a near one. Ids and
labels are known whatever their case, and the numbers of rows that pandas writes (`Unnamed: 0`) are labels too.
Refuses columns of one name, rows that do not join, weights that are negative or do not sum to about 1, and losses that
are not finite numbers above 0.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..corpus.store.errors import RequestError, unknown_name
from .tables import read_csv

ID_COLUMNS = ("run", "index", "id", "run_id")
LABEL_COLUMNS = (*ID_COLUMNS, "name", "run_name")
UNNAMED = re.compile(r"Unnamed: \d+")  # what pandas calls a column without a name, which is its own index
ROUNDING = 0.02  # published tables round weights to three decimals: rows sum to 0.996-1.003


@dataclass(frozen=True)
class Swarm:
    """Measured mixtures.

    weights  (R, D) token shares, each row sums to 1
    losses   (R, T)
    runs     (R,) names of the runs; rows with equal weights are replicates
    steps, trajectories   (C,), (R, C, T): losses along training, where they were recorded
    """

    domains: tuple[str, ...]
    targets: tuple[str, ...]
    weights: np.ndarray
    losses: np.ndarray
    runs: tuple[str, ...] = ()
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    trajectories: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, rows: np.ndarray) -> "Swarm":
        """The swarm of some rows."""
        runs = tuple(self.runs[i] for i in rows) if self.runs else ()
        trajectories = None if self.trajectories is None else self.trajectories[rows]
        return replace(self, weights=self.weights[rows], losses=self.losses[rows], runs=runs, trajectories=trajectories)

    def only(self, targets: Sequence[str]) -> "Swarm":
        """The swarm with some targets, in the order given. A target may be named by its bare domain."""
        columns = [match_target(name, self.targets) for name in targets]
        trajectories = None if self.trajectories is None else self.trajectories[:, :, columns]
        names = tuple(self.targets[c] for c in columns)
        return replace(self, targets=names, losses=self.losses[:, columns], trajectories=trajectories)

    def own(self) -> list[int | None]:
        """Per target the column of the domain that it is the held-out part of, if its name says so."""
        return [_own(target, self.domains) for target in self.targets]


def _own(target: str, domains: Sequence[str]) -> int | None:
    """The domain of exactly that name, else the only one of its plain name."""
    if target in domains:
        return list(domains).index(target)
    near = [place for place, name in enumerate(domains) if plain(name) == plain(target)]
    return near[0] if len(near) == 1 else None


def plain(name: str) -> str:
    """A column's name without the decorations of the files in use."""
    name = name.strip().removeprefix("metric/").removeprefix("train_").removeprefix("valid_").removeprefix("eval_")
    for suffix in ("_val_loss", "_loss", "_bpb", "/bpb", "_bits_per_byte"):
        name = name.removesuffix(suffix)
    return name


def match_target(name: str, targets: Sequence[str], kind: str = "target", where: str = "--target") -> int:
    """The column that `name` means: exactly, or by its plain name where that is not ambiguous."""
    if name in targets:
        return list(targets).index(name)
    near = [place for place, target in enumerate(targets) if plain(target) == plain(name)]
    near = near or [place for place, target in enumerate(targets) if plain(target).endswith("_" + plain(name))]
    if len(near) == 1:
        return near[0]
    if near:
        raise RequestError(f"{where}: {name} may mean {', '.join(targets[place] for place in near)}; write one of them")
    raise unknown_name(kind, name, targets, where=where)


def match_names(given: Mapping[str, float] | None, names: Sequence[str], kind: str, where: str) -> dict[str, float]:
    """The same numbers under the full names that the given ones mean; two that mean one are refused."""
    found: dict[str, float] = {}
    meant: dict[str, str] = {}
    for name, value in (given or {}).items():
        full = names[match_target(name, names, kind, where)]
        if full in meant:
            raise RequestError(f"{where}: {meant[full]} and {name} both mean {full}; give it once")
        found[full], meant[full] = value, name
    return found


def read_swarm(mixtures: str, losses: str) -> Swarm:
    """Join a CSV of mixtures and a CSV of losses on their id column."""
    key, domains, weights = read_columns(mixtures)
    key_losses, targets, values = read_columns(losses, positive=True)
    for path, what, names in ((mixtures, "domain", domains), (losses, "loss", targets)):
        if not names:
            raise RequestError(f"{path} has no column of a {what} beside its ids")
    missing = sorted(set(weights) ^ set(values))
    if missing:
        raise RequestError(
            f"{mixtures} (by {key}) and {losses} (by {key_losses}) do not join: "
            f"{len(missing)} ids are in one of them only, the first is {missing[0]!r}"
        )
    runs = list(weights)
    return Swarm(
        tuple(domains),
        tuple(targets),
        checked_weights(np.array([weights[run] for run in runs]), runs, mixtures),
        checked_losses(np.array([values[run] for run in runs]), runs, targets, losses),
        tuple(runs),
    )


def read_columns(path: str, positive: bool = False) -> tuple[str, list[str], dict[str, list[float]]]:
    """A CSV with an id column: the id's name, the names of the numeric columns, id -> numbers in file order.

    positive  refuse a number that is not above 0, as no loss is
    """
    table = read_csv(path)
    key = next((name for known in ID_COLUMNS for name in table.header if name.lower() == known), None)
    if key is None:
        raise RequestError(
            f"{path} has no id column; expected one of {', '.join(ID_COLUMNS)} among {list(table.header[:5])}"
        )
    names = [name for name in table.header if name and not is_label(name)]
    columns = [table.numbers(name, above=0.0 if positive else None) for name in names]
    found: dict[str, list[float]] = {}
    for number, row in enumerate(table.rows):
        run = row[table.place(key)]
        if run in found:
            raise RequestError(f"{path} line {table.lines[number]}: {key} {run!r} is there twice")
        found[run] = [column[number] for column in columns]
    return key, names, found


def is_label(name: str) -> bool:
    """Whether a column says which run a row is of, and holds no measurement."""
    return name.lower() in LABEL_COLUMNS or UNNAMED.fullmatch(name) is not None


def checked_weights(weights: np.ndarray, runs: Sequence[str], where: str) -> np.ndarray:
    """Rows that sum to exactly 1, or a RequestError for those that did not nearly do so."""
    wrong = ~np.isfinite(weights).all(1) | (weights < 0).any(1) | (np.abs(weights.sum(1) - 1) > ROUNDING)
    if wrong.any():
        run = int(np.argmax(wrong))
        raise RequestError(f"{where}: run {runs[run]}: weights must be >= 0 and sum to 1, not {weights[run].sum():.4g}")
    return weights / weights.sum(1, keepdims=True)


def checked_losses(losses: np.ndarray, runs: Sequence[str], targets: Sequence[str], where: str) -> np.ndarray:
    """The losses themselves, or a RequestError that names the first cell that is not finite."""
    wrong = np.argwhere(~np.isfinite(losses))
    if len(wrong):
        run, target = wrong[0]
        raise RequestError(f"{where}: run {runs[run]}: {targets[target]} is {losses[run, target]}")
    return losses
