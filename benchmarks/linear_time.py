"""Claim: whatever reads text takes time that grows with the text, on ordinary and on hostile text alike.

    python -m benchmarks.linear_time [PART OF A NAME]

Everything that reads text, found in the registries: every signal family, fold, mask and rule set with line rules, cuts
of repeats, the search for evaluation sets, the normal form, languages, licences and the refiner's rules read each text
of `_linear_time_inputs.py`; every reader and every engine its files and pages. Sizes are 50, 200, 800 KB. The growth
exponent (1 is linear) is taken between the two larger ones. Where it is above 1.1, it is taken again as the median of
five rounds, in each of which the sizes take turns, and, where it still is, between 800 KB and 3.2 MB, then between that
and 12.8 MB in the same way: a cache that overflows or a neighbour on the machine shows at one of them, a step that is
not linear the more the larger its text. Fails above 1.1 where the larger takes more than 0.05 s; what takes less is too
short to tell. Prints the largest exponents. What is trafilatura's own is printed and does not fail: the sandbox ends a
page that takes too long. A step that asks for more than 16 GB ends the run with a traceback. A name given as an
argument limits it to the steps whose names hold it; what was found is stored where all were measured.
"""

import contextlib
import functools
import gc
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from gristmill.corpus.folding import words
from gristmill.corpus.hosts import plain_url
from gristmill.corpus.languages.identification import OWN, identify
from gristmill.corpus.metadata.licences import from_text
from gristmill.corpus.planning.ledger import Piece
from gristmill.corpus.readers.inputs import FORMATS
from gristmill.corpus.readers.records import Reading, read_piece
from gristmill.corpus.readers.texts import read_rows
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.text.charsets import decode_text
from gristmill.corpus.text.extraction import ENGINES
from gristmill.corpus.text.normalising import normalise
from gristmill.corpus.text.pages import Job, Options, work_on
from gristmill.dedup.cuts import Cut, apply_cuts, choose_cuts, merged
from gristmill.dedup.folds import FOLDS
from gristmill.dedup.repeats import seeds, segments, windows
from gristmill.dedup.shingles import shingle
from gristmill.filters.cuts import cut_lines, masked
from gristmill.filters.decontamination import build, search
from gristmill.filters.pii import KINDS, find, replaced
from gristmill.filters.rule_sets import bundled, compiled, load_rules
from gristmill.filters.signals.families import Family, all_families, measure
from gristmill.proxy_models.rewriting.programs import execute
from gristmill.proxy_models.rewriting.refine_rules import refine_program
from gristmill.proxy_models.rewriting.rephrase_chunks import chunks

from ._extraction_pages import Report
from ._linear_time_inputs import PAGES, QUESTION, ROWS, TABLES, TEXTS, WARCS

SIZES = (50_000, 200_000, 800_000)  # bytes
WIDE = (3_200_000, 12_800_000)  # bytes; what seems to grow faster is measured up to these
ROUNDS = 5
MOST = 1.1  # the exponent
SHORTEST = 0.05  # seconds of the largest; what takes less is too short to tell
MEMORY = 16 << 30  # bytes of address space
THEIRS = ("extract trafilatura", "extract trafilatura-fast")  # these call a library that is not ours, and nothing else
LONGEST = 32.0  # seconds; what takes longer at a smaller size is told by it


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


def of_text() -> dict[str, Family]:
    """Families of the registry, those of plug-ins and other packages too, that measure text."""
    return {name: one for name, one in all_families().items() if one.column in ("", "text", "url")}


def of_texts() -> dict[str, Callable[[str], object]]:
    """Everything that reads the text of documents, by name."""
    found: dict[str, Callable[[str], object]] = {}
    beside = {"language": pa.array(["th"])}
    for name, family in of_text().items():
        found[f"signal {name}"] = lambda text, family=family: measure(pa.array([text]), [family], beside)
    for fold in FOLDS:
        for unit in ("words", "characters"):
            if (unit, fold) != ("words", "raw"):
                found[f"fold {fold} {unit}"] = lambda text, unit=unit, fold=fold: shingle(
                    pa.array([text]), unit, 5, fold
                )
    found["words"] = lambda text: words(pa.array([text]))
    for kind in KINDS:
        found[f"mask {kind}"] = lambda text, kind=kind: replaced(text, find(text, (kind,)))
    for name in bundled():
        rules = load_rules(name)
        own, lines = rules.lines, compiled(rules)[1]
        if lines is not None and own is not None:
            found[f"cut lines {name}"] = lambda text, own=own, lines=lines: cut_lines(pa.array([text]), own, lines)
    found["mask and line cuts"] = _hostile_mask
    found["cuts of repeats"] = _cut
    found["repeats"] = _repeats
    found["decontaminate"] = lambda text: search(pa.array([text]), _index())
    found["normal form"] = lambda text: normalise(text, True)
    found["language"] = lambda text: identify([text], OWN)
    found["licence"] = from_text
    found["address"] = plain_url
    found["refiner"] = lambda text: execute(text, refine_program(text))
    found["chunks"] = lambda text: chunks(text, 500)
    found["charset"] = lambda text: decode_text(text.encode("utf-16-le"), None)
    return found


def _read(kind: str, folder: Path, data: bytes) -> int:
    """Records of a file that a reader gives."""
    path = folder / "file"
    path.write_bytes(data)
    return sum(1 for _ in read_piece(Piece(str(path), "file", file="f", format=kind), Reading(1 << 20)))


def _rows(folder: Path, data: bytes) -> None:
    path = folder / "rows.txt"
    path.write_bytes(data)
    read_rows(str(path))


def pairs(folder: Path) -> dict[tuple[str, str], tuple[Callable[..., object], Callable[[int], object]]]:
    """(step, input) -> (what is measured, what makes the input of a size)."""
    found: dict[tuple[str, str], tuple[Callable[..., object], Callable[[int], object]]] = {}
    for step, run in of_texts().items():
        found |= {(step, name): (run, made) for name, made in TEXTS.items()}
    read = {kind: functools.partial(_read, kind, folder) for kind in FORMATS}
    for kind, files in (("warc", WARCS), ("jsonl", ROWS), ("html", PAGES), ("arrow", TABLES), ("parquet", TABLES)):
        found |= {(f"read {kind}", name): (read[kind], made) for name, made in files.items()}
    for kind in ("text", "jsonl", "warc"):
        for name, made in TEXTS.items():
            found[f"read {kind}", name] = (read[kind], lambda size, made=made: made(size).encode())
    for name, made in TEXTS.items():
        found["read a target", name] = (functools.partial(_rows, folder), lambda size, made=made: made(size).encode())
    for engine in ENGINES:
        options = Options(engine=engine)
        for name, made in PAGES.items():
            found[f"extract {engine}", name] = (
                lambda data, options=options: work_on(Job(data, markup=True), options),
                made,
            )
    return found


def cpu(step: Callable[..., object], given: object) -> float:
    """CPU seconds of one run."""
    gc.collect()
    begin = time.process_time()
    with contextlib.suppress(RequestError):  # refusing is an answer too, and is to be given in time
        step(given)
    return max(time.process_time() - begin, 1e-6)


def slope(step: Callable[..., object], made: Callable[[int], object], low: int, high: int, rounds: int) -> list[float]:
    """[growth exponent between two sizes, CPU seconds of the larger]: medians of rounds in which they take turns."""
    small, large = made(low), made(high)
    found = []
    for _ in range(rounds):
        times = cpu(step, small), cpu(step, large)
        found.append((math.log(times[1] / times[0]) / math.log(high / low), times[1]))
        if times[1] > LONGEST:
            break
    return [statistics.median(column) for column in zip(*found, strict=True)]


def exponent(
    step: Callable[..., object], made: Callable[[int], object], shortest: float = SHORTEST, wide: bool = True
) -> tuple[float, float]:
    """(growth exponent, CPU seconds of the largest); 0 where that is too short to tell. `wide`: up to the widest."""
    cpu(step, made(2000))  # what is compiled or loaded at the first call is no part of it
    if (first := cpu(step, made(SIZES[0]))) > LONGEST / 16:
        return math.inf, first
    grown, took = 0.0, 0.0
    tries = [(*SIZES[1:], 1), (*SIZES[1:], ROUNDS)]
    if wide:
        tries += [(SIZES[2], WIDE[0], ROUNDS), (*WIDE, ROUNDS)]
    for low, high, rounds in tries:
        grown, took = slope(step, made, low, high, rounds)
        if grown <= MOST or took < shortest or took > LONGEST:
            break
    return (grown if took >= shortest else 0.0), took


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    report = Report("linear_time")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        found = pairs(Path(folder))
        gc.freeze()  # what stays is not looked through again and again
        for (step, name), (run, made) in found.items():
            if wanted in step:
                grown, seconds = exponent(run, made, wide=step not in THEIRS)
                rows.append((grown, seconds, step, name))
                if grown > MOST:
                    sys.stderr.write(f"{grown:6.2f}  {seconds:8.3f} s  {step}: {name}\n")
    rows.sort(reverse=True)
    for grown, seconds, step, name in rows[:40]:
        report(f"{grown:6.2f}  {seconds:8.3f} s  {step}: {name}")
    steep = [row for row in rows if row[0] > MOST]
    worst = [row for row in steep if row[2] not in THEIRS]
    steps, told = len({row[2] for row in rows}), sum(row[0] > 0 for row in rows)
    report(
        f"{steps} steps, {len(rows):,} pairs of a step and an input, {told:,} of them long enough to tell; "
        f"{len(worst)} grow faster than by the power {MOST}, beside {len(steep) - len(worst)} that are a library's"
    )
    if not wanted:
        report.save()
    return int(bool(worst))


if __name__ == "__main__":
    raise SystemExit(main())
