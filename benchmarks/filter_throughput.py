"""Claim: Gopher quality and repetition, C4 and FineWeb signals at 150 times datatrove's four filters, per CPU second.

    GRISTMILL_PEER_PYTHON=/path/to/venv/bin/python python benchmarks/filter_throughput.py [--documents 20000]

20,000 English documents of about 3 KB, cut from the `domains/` of the shared data (books, law, technical prose, chat),
are measured in one process; datatrove's four filters run on a sample of the same documents in the interpreter named by
GRISTMILL_PEER_PYTHON, which must have `datatrove[io,processing]`, spacy and lxml_html_clean. Both run without the
first call, in which kernels are compiled and tokenizers loaded. Prints medians of three runs and the
ratio; our first run, in which no odd chunk of letters and marks is known yet, is given apart. With --profile the CPU
time of every kernel is printed instead, and the peer is left alone.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba.core.registry import CPUDispatcher as Dispatcher

from gristmill.filters.signals import c4, gopher, lines, repetition
from gristmill.filters.signals.families import families, measure
from gristmill.filters.words import english_words, layout

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
FAMILIES = ("gopher@datatrove", "c4@datatrove", "fineweb")
INSIDE = ("citation", "holds")  # kernels that only other kernels call
PEER = """
import json, resource, sys, time
from datatrove.data import Document
from datatrove.pipeline import filters
texts = json.load(open(sys.argv[1]))
names = ["GopherRepetition", "GopherQuality", "C4Quality", "FineWebQuality"]
steps = [getattr(filters, name + "Filter")() for name in names]
for step in steps:
    step.filter(Document(text=texts[0], id="0"))
spent = {}
for step in steps:
    began = time.process_time()
    for text in texts:
        step.filter(Document(text=text, id="0"))
    spent[type(step).__name__] = time.process_time() - began
json.dump(spent, sys.stdout)
"""


def english(count: int) -> list[str]:
    """About 3 KB each, cut at line ends; the same for the same data."""
    texts: list[str] = []
    for domain in ("books", "law", "technical_prose", "chat"):
        for text in pq.read_table(DATA / "domains" / f"{domain}.parquet")["text"].to_pylist():
            piece = ""
            for line in text.splitlines(keepends=True):
                piece += line
                if len(piece) >= 3000:
                    texts.append(piece)
                    piece = ""
    order = np.random.default_rng(0).permutation(len(texts))
    texts = [texts[n] for n in order]
    # the data hold about 7,000 such pieces: further ones are the same pieces with their lines turned around
    rounds = -(-count // len(texts))
    turned = [["\n".join(np.roll(np.array(text.split("\n")), shift)) for text in texts] for shift in range(1, rounds)]
    return [text for part in (texts, *turned) for text in part][:count]


def profile(array: pa.Array, wanted: list) -> None:
    """Print the CPU microseconds a document that each kernel takes, the longest first."""
    spent: dict[str, float] = {}

    def timed(kernel, name: str):
        def call(*arguments):
            began = time.process_time()
            made = kernel(*arguments)
            spent[name] = spent.get(name, 0.0) + time.process_time() - began
            return made

        return call

    for module in (layout, english_words, repetition, gopher, lines, c4):
        for name, kernel in list(vars(module).items()):
            own = isinstance(kernel, Dispatcher) and kernel.py_func.__module__ == module.__name__
            if own and name not in INSIDE:
                setattr(module, name, timed(kernel, f"{module.__name__.rpartition('.')[2]}.{name}"))
    gopher.skipping_duplicates = repetition.skipping_duplicates
    c4.without_citations = lines.without_citations
    began = time.process_time()
    measure(array, wanted)
    whole = time.process_time() - began
    for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"{name:36} {seconds / len(array) * 1e6:7.1f} us a document, {seconds / whole:6.1%}")
    rest = whole - sum(spent.values())
    print(f"{'all else':36} {rest / len(array) * 1e6:7.1f} us a document, {rest / whole:6.1%}")
    print(f"{'together':36} {whole / len(array) * 1e6:7.1f} us a document")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=20000)
    parser.add_argument("--peer-documents", type=int, default=150)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    if not (DATA / "domains").exists():
        sys.exit(f"no data in {DATA}: set GRISTMILL_DATA")
    peer = os.environ.get("GRISTMILL_PEER_PYTHON")
    if not peer and not asked.profile:
        sys.exit("set GRISTMILL_PEER_PYTHON to a Python that has datatrove[io,processing], spacy and lxml_html_clean")
    texts = english(asked.documents)
    array = pa.array(texts)
    wanted = families(FAMILIES)
    measure(array[:10], wanted)  # compile
    if asked.profile:
        measure(array, wanted)
        profile(array, wanted)
        return
    assert peer is not None
    walls, cpus = [], []
    for run in range(4):
        if run == 0:
            english_words._memory.clear()  # the first run cuts every odd chunk anew, the others remember it
        wall, cpu = time.perf_counter(), time.process_time()
        rows = measure(array, wanted)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        assert all(len(column) == len(texts) for column in rows.values())
    cold, ours = len(texts) / cpus[0], len(texts) / float(np.median(cpus[1:]))
    sample = [texts[n] for n in np.linspace(0, len(texts) - 1, asked.peer_documents).astype(int)]
    scratch = Path(tempfile.gettempdir()) / f"gristmill-filter-throughput-{os.getpid()}.json"
    scratch.write_text(json.dumps(sample))
    try:
        runs = [json.loads(subprocess.check_output([peer, "-c", PEER, str(scratch)], text=True)) for _ in range(3)]
    finally:
        scratch.unlink()
    each = {name: len(sample) / float(np.median([run[name] for run in runs])) for name in runs[0]}
    theirs = len(sample) / float(np.median([sum(run.values()) for run in runs]))
    size = sum(len(text.encode()) for text in texts) / len(texts)
    print(f"documents: {len(texts):,} of {size:,.0f} bytes; datatrove on {len(sample)} of them")
    print(f"gristmill {' + '.join(FAMILIES)}: {ours:,.0f} documents per CPU second "
          f"({len(texts) / float(np.median(walls[1:])):,.0f} by the clock); {cold:,.0f} in the first run")  # fmt: skip
    for name, speed in each.items():
        print(f"datatrove {name}: {speed:,.1f} documents per CPU second")
    print(f"datatrove, all four: {theirs:,.1f} documents per CPU second")
    print(f"ratio: {ours / theirs:,.0f}; of the first run: {cold / theirs:,.0f}")
    print(f"peak memory of gristmill: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
