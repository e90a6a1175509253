"""How `corpus/text/content_model.npz` was made: a block classifier fitted on pages other than the 181 of the claim.

Training pages: the 50 multilingual news pages with their reference text, and about 120 pages of the test crawls
(2008 to 2024) with what trafilatura extracts as the label. A block is content when more than half of its word 4-grams
stand in that text. Blocks weigh by their length, pages alike, crowded sites less. With `--write` the model in corpus/
is replaced; without, the fit is done and compared with the one that is there.

Prints F1 of the multilingual pages with the pages of a site left out of the fit (four folds of sites).
"""

import sys
import zlib
from importlib.resources import files
from urllib.parse import urlsplit

import lightgbm
import numpy as np
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.readers.compression import codec
from gristmill.corpus.readers.http_message import parse_response
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.warc import Record, read_records
from gristmill.corpus.text import content
from gristmill.corpus.text.block_features import features, names
from gristmill.corpus.text.blocks import segment
from gristmill.corpus.text.extraction import page_bytes
from gristmill.corpus.text.rendering import render
from gristmill.corpus.text.thinning import thin

from ._extraction_pages import WORD, Report, f1, multilingual, need, shingles

ROUNDS = 200
SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 6,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.25,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 20,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 1,
}


class Page:
    """A page with the truth about its blocks."""

    def __init__(self, body: bytes, charset: str | None, text: str, site: str, gold: bool) -> None:
        tree = HTMLTree.parse_from_bytes(thin(page_bytes(body, charset)).data, "utf-8")
        self.data = (tree.body.html if tree.body else "").encode()
        self.blocks, self.text, self.site, self.gold = segment(self.data), text, site, gold
        self.table = features(self.blocks)
        self.label, self.weight = self._labels()

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        size = len(self.blocks.node)
        wanted, running = shingles(self.text), f" {' '.join(WORD.findall(self.text))} "
        label, weight, long = np.zeros(size, bool), np.zeros(size), np.zeros(size, bool)
        for b in range(size):
            only = np.zeros(size, bool)
            only[b] = True
            words = WORD.findall(render(self.data, self.blocks, only))
            long[b] = len(words) >= 4
            if long[b]:
                grams = [tuple(words[n : n + 4]) for n in range(len(words) - 3)]
                label[b] = sum(gram in wanted for gram in grams) > len(grams) / 2
                weight[b] = 1 + len(words) ** 0.5
            elif words:
                label[b] = f" {' '.join(words)} " in running
                weight[b] = 0.3 * len(words)
        for b in np.flatnonzero(label & ~long):  # a few words count as content only beside content
            near = [n for n in (b - 2, b - 1, b + 1, b + 2) if 0 <= n < size and long[n]]
            label[b] = any(label[n] for n in near)
        return label, weight


def crawled() -> list[Page]:
    """HTML pages of the test crawls from which trafilatura takes at least 300 characters."""
    import trafilatura

    pages, seen = [], set()
    for path in sorted(path for path in need("warc").rglob("*") if path.is_file() and path.suffix != ".json"):
        with open(path, "rb") as file:
            stream = Members(file, 0, codec(file.read(8)))
            for record in read_records(stream, 1 << 24):
                if not isinstance(record, Record) or record.kind != "response" or not record.content:
                    continue
                answer = parse_response(record.content, 1 << 24)
                if answer.status != 200 or answer.content_type != "text/html" or len(answer.body) < 2000:
                    continue
                if answer.body in seen:
                    continue
                seen.add(answer.body)
                text = trafilatura.extract(page_bytes(answer.body, answer.charset).decode("utf-8", "replace")) or ""
                if len(text) >= 300:
                    site = urlsplit(record.url or "").hostname or ""
                    pages.append(Page(answer.body, answer.charset, text, site, gold=False))
    return pages


def fit(pages: list[Page]) -> lightgbm.Booster:
    crowd = {site: sum(page.site == site for page in pages) for site in {page.site for page in pages}}
    weights = [
        page.weight / max(page.weight.sum(), 1) * (1 if page.gold else 0.6) / crowd[page.site] ** 0.5 for page in pages
    ]
    weight = np.concatenate(weights)
    table = np.concatenate([page.table for page in pages])
    label = np.concatenate([page.label for page in pages])
    return lightgbm.train(SETTINGS, lightgbm.Dataset(table, label, weight=weight / weight.mean()), ROUNDS)


def arrays(model: lightgbm.Booster) -> dict[str, np.ndarray]:
    """The trees as the arrays that `content.py` walks."""
    nodes: list[list[float]] = []

    def add(tree: dict) -> int:
        at = len(nodes)
        nodes.append([0, 0, -1, -1, tree.get("leaf_value", 0)])
        if "leaf_value" not in tree:
            nodes[at] = [tree["split_feature"], tree["threshold"], -1, -1, 0]
            nodes[at][2] = add(tree["left_child"])
            nodes[at][3] = add(tree["right_child"])
        return at

    roots = [add(tree["tree_structure"]) for tree in model.dump_model()["tree_info"]]
    column, threshold, left, right, value = np.array(nodes).T
    whole = {"roots": np.array(roots), "column": column, "left": left, "right": right}
    return {name: array.astype(np.int32) for name, array in whole.items()} | {
        "threshold": threshold.astype(np.float32),
        "value": value,
    }


def scores(model: lightgbm.Booster, page: Page) -> np.ndarray:
    weights, _ = content._model()
    return np.asarray(model.predict(page.table, raw_score=True)) + page.table @ weights


def main() -> int:
    report = Report("train_content_model")
    gold = multilingual()
    pages = [Page(page, "utf-8", text, name.split("_")[1], gold=True) for name, (page, text, _) in gold.items()]
    spoken = [row[2] for row in gold.values()]
    pages += crawled()
    report(f"{len(pages)} pages, {sum(len(page.label) for page in pages)} blocks, {len({p.site for p in pages})} sites")
    unseen: dict[int, np.ndarray] = {}
    fold = [zlib.crc32(page.site.encode()) % 4 for page in pages]
    for out in range(4):
        model = fit([page for page, at in zip(pages, fold, strict=True) if at != out])
        unseen |= {n: scores(model, pages[n]) for n in range(len(gold)) if fold[n] == out}
    for language in sorted(set(spoken)):
        numbers = [n for n in range(len(gold)) if spoken[n] == language]
        kept = [unseen[n] > content.THRESHOLD for n in numbers]
        pairs = [
            (pages[n].text, render(pages[n].data, pages[n].blocks, keep)) for n, keep in zip(numbers, kept, strict=True)
        ]
        report(f"F1 {f1(pairs)[0]:.4f}  {language}, {len(numbers)} pages, their sites left out of the fit")
    made = arrays(fit(pages))
    path = files("gristmill.corpus.text").joinpath(content.MODEL)
    if "--write" in sys.argv:
        np.savez_compressed(str(path), columns=np.array(names()), **made)
        report(f"written: {content.MODEL}")
    with path.open("rb") as file, np.load(file) as held:
        same = all(np.array_equal(held[name], array) for name, array in made.items())
    report(f"the model in corpus/ is {'the same' if same else 'ANOTHER ONE'}")
    report.save()
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
