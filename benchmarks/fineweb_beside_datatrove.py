"""Claim: the rule set fineweb gives a page the fate that datatrove's own chain of filters gives it, but for one kind.

    GRISTMILL_PEER_PYTHON=/path/to/venv/bin/python python benchmarks/fineweb_beside_datatrove.py [--documents 2000]

Both decide the same texts in one run: pages extracted from the shared WARC files, and pieces of the shared domains.
datatrove's chain is that of its examples/fineweb.py (GopherRepetition, GopherQuality, C4 without terminal punctuation,
FineWebQuality) in the interpreter named by GRISTMILL_PEER_PYTHON, which must have `datatrove[io,processing]==0.10.1`,
spacy and lxml_html_clean. Prints how many fates agree, and every kind of difference with its count: the one that is
known is that C4's filter cuts lines out before FineWeb's own rules measure the text; any other kind fails the run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

import gristmill as gm

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
GOLDEN = Path(__file__).parents[1] / "tests" / "filters" / "golden"
OWN = {"line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"}
PEER = """
import json, sys
sys.path.insert(0, sys.argv[2])
from make_fineweb import fate, steps
chain = steps()
json.dump([fate(chain, text) for text in json.load(open(sys.argv[1]))], sys.stdout)
"""


def texts(count: int) -> list[str]:
    """Half from crawled pages where there are enough, the rest cut from the domains; the same for the same data."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(str(path) for path in (DATA / "warc").rglob("*.warc.gz"))
        if files:
            workspace = gm.Workspace(folder, workers=2)
            workspace.extract(*files, domain="web")
            found += workspace.sql("select text from documents order by id").to_arrow_table()["text"].to_pylist()
    found = found[: count // 2]
    paths = sorted((DATA / "domains").glob("*.parquet"))
    each = -(-(count - len(found)) // len(paths))
    for path in paths:
        pieces = []
        for text in pq.read_table(path)["text"].to_pylist():
            lines = text.splitlines(keepends=True)
            pieces += ["".join(lines[at : at + 40]) for at in range(0, len(lines), 40)]
        found += [piece for piece in pieces if len(piece) > 200][:each]
    return found[:count]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--documents", type=int, default=2000)
    asked = options.parse_args()
    peer = os.environ.get("GRISTMILL_PEER_PYTHON")
    if peer is None or not DATA.exists():
        print("skipped: needs GRISTMILL_PEER_PYTHON with datatrove, and the shared data")
        return 77
    given = texts(asked.documents)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run([peer, "-c", PEER, file.name, str(GOLDEN)], env=environment, stdout=subprocess.PIPE)
    done.check_returncode()
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = gm.decide({"text": given}, "fineweb").to_pylist()
    kinds: Counter[str] = Counter()
    unexplained = 0
    for row, (fate, changed) in zip(ours, theirs, strict=True):
        if row["kept"] == (fate is None):
            continue
        rule = row["rule"] if fate is None else fate[1]
        known = changed and rule in OWN
        unexplained += not known
        who = "gristmill drops, datatrove keeps" if fate is None else "datatrove drops, gristmill keeps"
        kinds[f"{who}: {rule}{', after C4 had cut lines' if known else ''}"] += 1
    dropped = sum(fate is not None for fate, _ in theirs)
    print(f"documents {len(given)}, datatrove drops {dropped}, equal fates {len(given) - sum(kinds.values())}")
    for kind, count in kinds.most_common():
        print(f"  {count:5}  {kind}")
    print(f"of another kind: {unexplained}")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
