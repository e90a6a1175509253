"""Claim: whatever reads text takes time that grows with the text, on ordinary and on hostile text alike.

    python benchmarks/linear_time.py

Every signal family of the registry, every fold, the masks of every kind, line cuts, cuts of repeats, the search for
evaluation sets, the normal form and the refiner's rules read texts of 0.1, 0.4 and 1.6 MB of each kind below. CPU time
is the least of three runs. Prints the growth exponent (1 is linear) between the two larger sizes, largest first, and
fails above 1.1 where the largest text takes more than 0.1 s; what takes less is too short to tell.
"""

import functools
import math
import sys
import time
from collections.abc import Callable

import pyarrow as pa

from gristmill.corpus.folding import words
from gristmill.corpus.text.normalising import normalise
from gristmill.dedup.cuts import Cut, apply_cuts, choose_cuts, merged
from gristmill.dedup.folds import FOLDS
from gristmill.dedup.repeats import seeds, segments, windows
from gristmill.dedup.shingles import shingle
from gristmill.filters.cuts import masked
from gristmill.filters.decontamination import build, search
from gristmill.filters.pii import KINDS, find, replaced
from gristmill.filters.signals.families import FAMILIES, measure
from gristmill.proxy_models.rewriting.programs import execute
from gristmill.proxy_models.rewriting.refine_rules import refine_program

SIZES = (100_000, 400_000, 1_600_000)
MOST = 1.1
SHORTEST = 0.1  # seconds

QUESTION = "which of these animals keeps its young in a pouch until they are old enough to look for food alone"


def _numbered(form: str) -> Callable[[int], str]:
    def text(size: int) -> str:
        count = size // len(form.format(1000)) + 1
        return " ".join(form.format(n) for n in range(count))[:size]

    return text


def _repeated(piece: str) -> Callable[[int], str]:
    return lambda size: (piece * (size // len(piece) + 1))[:size]


TEXTS: dict[str, Callable[[int], str]] = {
    "prose": _numbered("the ferry left the harbour in {} before the lamps were lit, and nobody saw it go.\n"),
    "one letter": _repeated("a"),
    "one letter a word": _repeated("a "),
    "line feeds": _repeated("\n"),
    "one line again": _repeated("Read more about cookies\n"),
    "mail": _numbered("user{}@example.org wrote"),
    "@": _repeated("a@"),
    "a@a.a.": _repeated("a@a.a.a.a."),
    "digits": _repeated("1 "),
    "cards": _repeated("4111 1111 1111 1112 "),
    "phones": _repeated("+49 30 1234 "),
    "colons": _repeated("2001:"),
    "dots": _repeated("1.2.3.4."),
    "brackets": _repeated("{[(<"),
    "question": _repeated(QUESTION + " "),
    "four of its words": _repeated("which of these animals "),
    "ideographs": _repeated("小明的妈妈早上去市场买了三斤苹果"),
    "marks": _repeated("e\u0301\u0323"),
    "Thai": _repeated("นี่คือไม้"),
    "joiners": _repeated("\u200d\u00ad"),
}


@functools.cache
def _index():
    return build({"animals": [QUESTION]})


def _cut(text: str) -> str:
    size = len(text.encode())
    cuts = [Cut(at, at + 40, "line" if at % 3 else "substring", 2 + at % 7) for at in range(0, size - 40, 25)]
    octets = text.encode()
    inside = [cut for cut in cuts if octets[cut.start] < 0x80 and octets[cut.end] < 0x80]
    return apply_cuts(text, choose_cuts(merged(inside), size, 0.5))[0]


def _repeats(text: str) -> None:
    found = words(pa.array([text]))
    chosen = seeds(found, 50)
    windows(found, 50, found.offsets[chosen.document])
    segments(pa.array([text]), "line")


def _hostile_mask(text: str) -> None:
    lines = [{"start": at, "end": at + 10, "rule": "line"} for at in range(0, len(text) - 10, 30)]
    masked(text, lines, KINDS)


def steps() -> dict[str, Callable[[str], object]]:
    """Everything that reads text, by name."""
    found: dict[str, Callable[[str], object]] = {}
    for name, family in FAMILIES.items():
        if family.column in ("", "text"):
            found[f"signal {name}"] = lambda text, family=family: measure(pa.array([text]), [family])
    for fold in FOLDS:
        for unit in ("words", "characters"):
            if (unit, fold) != ("words", "raw"):
                found[f"fold {fold} {unit}"] = lambda text, unit=unit, fold=fold: shingle(
                    pa.array([text]), unit, 5, fold
                )
    found["words"] = lambda text: words(pa.array([text]))
    for kind in KINDS:
        found[f"mask {kind}"] = lambda text, kind=kind: replaced(text, find(text, (kind,)))
    found["mask and line cuts"] = _hostile_mask
    found["cuts of repeats"] = _cut
    found["repeats"] = _repeats
    found["decontaminate"] = lambda text: search(pa.array([text]), _index())
    found["normal form"] = lambda text: normalise(text, True)
    found["refiner"] = lambda text: execute(text, refine_program(text))
    return found


def cpu(step: Callable[[str], object], text: str, runs: int = 3) -> float:
    """CPU seconds, the least of some runs."""
    least = math.inf
    for _ in range(runs):
        begin = time.process_time()
        step(text)
        least = min(least, time.process_time() - begin)
        if least > 1:
            break
    return least


def main() -> int:
    rows = []
    for name, step in steps().items():
        step("warm up, with ideographs 小 and user@example.org.\n")
        for kind, made in TEXTS.items():
            times = [cpu(step, made(size)) for size in SIZES]
            exponent = math.log(max(times[2], 1e-6) / max(times[1], 1e-6)) / math.log(SIZES[2] / SIZES[1])
            rows.append((exponent if times[2] > SHORTEST else 0.0, times[2], name, kind))
    rows.sort(reverse=True)
    for exponent, seconds, name, kind in rows[:40]:
        sys.stdout.write(f"{exponent:6.2f}  {seconds:8.3f} s for 1.6 MB  {name}: {kind}\n")
    worst = [row for row in rows if row[0] > MOST]
    sys.stdout.write(f"{len(rows)} pairs of a step and a text; {len(worst)} grow faster than by the power {MOST}\n")
    return int(bool(worst))


if __name__ == "__main__":
    raise SystemExit(main())
