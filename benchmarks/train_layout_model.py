"""How `corpus/layout/layout_model.npz` was made: which blocks of a page are content, and of what type a page is.

Training pages: the 1,497 development pages of WCXB (human-reviewed text, CC-BY-4.0) and the 50 multilingual news pages.
The 181 article pages of the claim in `extraction_quality.py` are not among them. Figures are out of fold: in each of
four folds of hosts a model is fitted on the pages of other hosts and judged on those of the fold, by the shipped code.
What the lexicon tells of a page's class names is counted on pages of other hosts alone, in the fit as well.

A block's label is the share of its word 4-grams that stand in the page's text. Blocks weigh by their words, pages
alike, crowded hosts less. With `--write` the model in corpus/ is replaced; without, the fit is done and compared with
the one that is there. One thread, so that the bytes are the same again: three minutes of CPU. The models of the folds
are left in the user's cache for `extraction_wcxb.py`.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import lightgbm
import numpy as np

from gristmill.corpus.layout import model as layout_model
from gristmill.corpus.layout.choice import choose
from gristmill.corpus.layout.measures import measures, names
from gristmill.corpus.layout.page_type import described, said
from gristmill.corpus.layout.trees import flattened
from gristmill.corpus.layout.types import OTHER, TYPES

from ._extraction_pages import Report
from ._wcxb import FOLDS, Labelled, development, fold_model

ROUNDS, TYPE_ROUNDS = 130, 120
THINNED, PART = 0.8, 0.3  # of blocks that are links to that share and no content, this part is fitted on, weighing more
SETTINGS: dict[str, Any] = {
    "objective": "cross_entropy",
    "learning_rate": 0.12,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "lambda_l2": 10,
    "max_bin": 63,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "seed": 1,
}
TYPE_SETTINGS: dict[str, Any] = {
    "objective": "multiclass",
    "num_class": len(TYPES),
    "learning_rate": 0.06,
    "num_leaves": 10,
    "min_data_in_leaf": 12,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 1,
}
TYPE_BALANCE = 0.4  # power of a type's number of pages by which its pages weigh less
GOLD_WEIGHT = 2.5  # of a page of the multilingual gold, which alone is of other languages
HOSTS = 3  # on which a name or wording has to stand to be in the lexicon
PRIOR = 0.35  # share of text that is content, as that of two more hosts
Shares = dict[int, dict[str, float]]  # hash -> host -> share of the text there that is content


def shares(pages: Sequence[Labelled]) -> tuple[Shares, Shares]:
    """Of the names of elements, and of the wordings of blocks, by host."""
    of_names: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    of_wordings: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for page in pages:
        blocks, size = page.blocks, len(page.blocks.parent)
        content = page.label > 0.5
        good = np.bincount(blocks.node, page.words * content, size)
        whole = np.bincount(blocks.node, page.words, size)
        for n in range(size - 1, 0, -1):
            good[blocks.parent[n]] += good[n]
            whole[blocks.parent[n]] += whole[n]
        held: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for node, name in blocks.words.tolist():
            held[name][0] += good[node]
            held[name][1] += whole[node]
        for name, (a, b) in held.items():
            if b:
                of_names[name][page.host].append(a / b)
        held = defaultdict(lambda: [0.0, 0.0])
        for wording, chars, label in zip(
            blocks.counts[:, 14].tolist(), blocks.counts[:, 0].tolist(), content.tolist(), strict=True
        ):
            if wording and chars <= 40:
                held[wording][0] += label
                held[wording][1] += 1
        for wording, (a, b) in held.items():
            of_wordings[wording][page.host].append(a / b)
    return tuple(  # type: ignore[return-value]
        {key: {host: sum(v) / len(v) for host, v in by.items()} for key, by in of.items() if len(by) >= HOSTS}
        for of in (of_names, of_wordings)
    )


def log_odds(total: float, hosts: int) -> float:
    share = (total + 2 * PRIOR) / (hosts + 2)
    return round(layout_model.SIXTEENTHS * float(np.log(share / (1 - share)))) / layout_model.SIXTEENTHS


def told(
    found: Shares, sums: dict[int, tuple[float, int]], host: str, wanted: np.ndarray, unknown: float
) -> np.ndarray:
    """Log-odds of hashes, counted without a host; as the lexicon would tell them of a page of another one."""
    out = np.full(len(wanted), unknown, np.float32)
    known: dict[int, float] = {}
    for n, key in enumerate(wanted.tolist()):
        if key in sums:
            if key not in known:
                total, hosts = sums[key]
                if host in found[key]:
                    total, hosts = total - found[key][host], hosts - 1
                known[key] = log_odds(total, hosts) if hosts >= HOSTS - 1 else unknown
            out[n] = known[key]
    return out


def sums_of(found: Shares) -> dict[int, tuple[float, int]]:
    return {key: (sum(by.values()), len(by)) for key, by in found.items()}


class Tokens:
    """On how many hosts of each type a token stands, and what it says for a type without a host of its own."""

    def __init__(self, pages: Sequence[Labelled]) -> None:
        self.hosts = np.zeros(len(TYPES))
        self.own: dict[str, np.ndarray] = {}
        by: dict[int, dict[tuple[str, int], bool]] = defaultdict(dict)
        for page in pages:
            if page.type is not None:
                at = TYPES.index(page.type)
                own = self.own.setdefault(page.host, np.zeros(len(TYPES)))
                self.hosts[at] += not own[at]
                own[at] = 1
                for token in page.tokens.tolist():
                    by[token][page.host, at] = True
        self.of = {token: held for token, held in by.items() if len({host for host, _ in held}) >= HOSTS + 1}
        self.counts = {token: self._count(held) for token, held in self.of.items()}

    def _count(self, held: dict[tuple[str, int], bool], without: str | None = None) -> np.ndarray:
        count = np.zeros(len(TYPES))
        for host, at in held:
            count[at] += host != without
        return count

    def say(self, count: np.ndarray, hosts: np.ndarray) -> np.ndarray:
        """(K,) int8 sixteenths of log-odds."""
        share, whole = (count + 0.5) / (hosts + 1), (count.sum() + 0.5) / (hosts.sum() + 1)
        return np.clip(np.rint(np.log(share / whole) * layout_model.SIXTEENTHS), -100, 100).astype(np.int8)

    def lexicon(self) -> tuple[np.ndarray, np.ndarray]:
        keys = sorted(self.counts)
        rows = [self.say(self.counts[key], self.hosts) for key in keys]
        return np.array(keys, np.int64), np.array(rows, np.int8).reshape(-1, len(TYPES))

    def without(self, page: Labelled) -> np.ndarray:
        """`page_type.said` of a page, counted without its host."""
        own = self.own.get(page.host)
        rows = []
        for token in page.tokens.tolist():
            if token in self.of:
                count = self.counts[token] if own is None else self._count(self.of[token], page.host)
                if own is None or count.sum() >= HOSTS:
                    rows.append(self.say(count, self.hosts - (0 if own is None else own)))
        total = np.array(rows, np.int64).reshape(-1, len(TYPES)).sum(axis=0)
        return (total / (layout_model.SIXTEENTHS * np.sqrt(max(len(rows), 1)))).astype(np.float32)


def weight(page: Labelled, crowd: int) -> np.ndarray:
    rough = np.sqrt(page.words) + 0.3
    part = 0.5 * rough / rough.sum() + 0.5 * page.words / max(1, page.words.sum())
    return part * (GOLD_WEIGHT if page.type is None else 1) / crowd**0.5


def fit(pages: Sequence[Labelled]) -> dict[str, np.ndarray]:
    """The arrays of a model fitted on these pages."""
    of_names, of_wordings = shares(pages)
    name_sums, wording_sums, tokens = sums_of(of_names), sums_of(of_wordings), Tokens(pages)
    crowd: dict[str, int] = defaultdict(int)
    for page in pages:
        crowd[page.host] += 1
    tables, rows, types = [], [], []
    for page in pages:
        spoken = tokens.without(page)
        short = np.where(page.blocks.counts[:, 0] <= 40, page.blocks.counts[:, 14], 0)
        table = measures(
            page.blocks,
            told(of_names, name_sums, page.host, page.blocks.words[:, 1], np.nan),
            told(of_wordings, wording_sums, page.host, short, 0.0),
            spoken,
        )
        tables.append(table)
        if page.type is not None:
            rows.append(described(page.blocks, table, spoken))
            types.append(TYPES.index(page.type))
    weights = np.concatenate([weight(page, crowd[page.host]) for page in pages if len(page.words)])
    label = np.concatenate([page.label for page in pages])
    table = np.concatenate(tables)
    idle = (table[:, names().index("links")] > THINNED) & (label == 0)
    part = ~idle | (np.random.default_rng(1).random(len(label)) < PART)
    weights[idle] /= PART
    data = lightgbm.Dataset(table[part], label[part], weight=weights[part] / weights.mean())
    blocks = lightgbm.train(SETTINGS, data, ROUNDS)
    of_type = np.bincount(types)
    typed = [
        1 / crowd[page.host] ** 0.5 / of_type[TYPES.index(page.type)] ** TYPE_BALANCE
        for page in pages
        if page.type is not None
    ]
    kinds = lightgbm.train(
        TYPE_SETTINGS, lightgbm.Dataset(np.array(rows), types, weight=np.array(typed) / np.mean(typed)), TYPE_ROUNDS
    )
    lexica = {
        of: (
            np.array(sorted(sums), np.int64),
            np.array([[layout_model.SIXTEENTHS * log_odds(*sums[key])] for key in sorted(sums)], np.int8),
        )
        for of, sums in (("names", name_sums), ("wordings", wording_sums))
    } | {"tokens": tokens.lexicon()}
    return layout_model.packed(
        flattened(blocks.dump_model()), flattened(kinds.dump_model(), len(TYPES)), lexica, names()
    )


def main() -> int:
    report = Report("train_layout_model")
    pages = development()
    report(f"{len(pages)} pages, {sum(len(p.label) for p in pages)} blocks, {len({p.host for p in pages})} hosts")
    confusion = np.zeros((len(TYPES), len(TYPES) + 1), int)
    arrays = fit(pages)
    path = files("gristmill.corpus.layout").joinpath(layout_model.FILE)
    if "--write" in sys.argv:
        np.savez_compressed(str(path), **arrays)
        report(f"written: {layout_model.FILE}")
    with path.open("rb") as file, np.load(file) as held_file:
        same = all(np.array_equal(held_file[name], array) for name, array in arrays.items())
    report(f"the model in corpus/ is {'the same' if same else 'ANOTHER ONE'}")
    for fold in range(FOLDS):
        of_others = fit([page for page in pages if page.fold != fold])
        held = layout_model.unpacked(of_others)
        np.savez_compressed(fold_model(fold), **of_others)
        for page in pages:
            if page.fold == fold:
                spoken = said(page.tokens, held.tokens)
                choice = choose(page.blocks, spoken, held)
                if page.type is not None:
                    kind = choice.type.name
                    confusion[TYPES.index(page.type), len(TYPES) if kind == OTHER else TYPES.index(kind)] += 1
        report(f"fold {fold} is done")
    _tell_types(report, confusion)
    report.save()
    return 0 if same else 1


def _tell_types(report: Report, confusion: np.ndarray) -> None:
    scores = []
    report("type of page, out of fold: rows are the truth, columns what it is taken for")
    report(" " * 14 + " ".join(f"{name[:7]:>7}" for name in (*TYPES, OTHER)))
    for at, name in enumerate(TYPES):
        hits = confusion[at, at]
        f1 = 2 * hits / max(1, confusion[at].sum() + confusion[:, at].sum())
        scores.append(f1)
        report(f"{name:14}" + " ".join(f"{n:7d}" for n in confusion[at]) + f"   F1 {f1:.3f}")
    right = sum(confusion[at, at] for at in range(len(TYPES)))
    report(f"macro F1 {np.mean(scores):.4f}, accuracy {right / confusion.sum():.4f}")


if __name__ == "__main__":
    raise SystemExit(main())
