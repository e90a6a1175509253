"""Claim: removal on request leaves what a workspace is that never held it, for at most a tenth of building it anew.

    python -m benchmarks.removal [--documents 1000000 ...] [--requests 1000] [--workers 2] [--folder SCRATCH]

Ten inputs of made-up pages, one in fifty a near copy of another, through extract, filter (gopher), dedup and tokenize,
with the settings that they have by themselves. `--requests` addresses, drawn over all inputs, are removed by one signed
`gristmill opt-out`; then the same calls run over a workspace that knew the list before its first document, with the
same tokenizer. Compared are wall and CPU seconds of the two, and every table, row by row whatever their order. Then
three copies of the log are forged: a line changed, a line dropped, the chain computed anew without the key; each has to
be found. What it costs to begin, told by the same over `LEAST` documents, is taken off both sides; with several sizes
the trend is printed. What is claimed is of the largest.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
MOST = 0.1  # of building anew
INPUTS, LEAST = 10, 100
WORDS = ("harbour lamp ferry night water stone garden winter river letter machine paper window answer market school "
         "teacher morning village forest engine captain doctor kitchen mountain summer the of and to that with have be "
         "is in was for on it as by").split()  # fmt: skip


def page(number: int) -> str:
    """About 2 KB; one in fifty is a near copy of the page before it."""
    draw = random.Random(number - 1 if number % 50 == 49 else number)
    words = [draw.choice(WORDS) if n % 3 else f"{draw.choice(WORDS)}{draw.randrange(10_000)}" for n in range(280)]
    lines = [" ".join(words[n : n + 14]).capitalize() + "." for n in range(0, len(words), 14)]
    return "\n".join(lines) + (" And one word more." if number % 50 == 49 else "")


def write_inputs(folder: Path, documents: int) -> None:
    folder.mkdir(parents=True)
    for name in range(INPUTS):
        with open(folder / f"source{name}.jsonl", "w", encoding="utf-8") as file:
            for number in range(name, documents, INPUTS):
                url = f"https://host{number % 997}.example/{number}"
                file.write(json.dumps({"text": page(number), "url": url}) + "\n")


def gristmill(arguments: list[str], workers: int) -> tuple[float, float]:
    """(wall, CPU) seconds of a command; SystemExit with what it said where it failed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = [sys.executable, "-m", "gristmill.pipelines.cli", *arguments]
    done = subprocess.run([*told, "--workers", str(workers)], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"gristmill {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def build(inputs: Path, workspace: str, workers: int, tokenizer: str | None = None) -> dict[str, tuple[float, float]]:
    """Every stage; (wall, CPU) seconds of each."""
    files = [str(inputs / f"source{name}.jsonl") for name in range(INPUTS)]
    fitted = ["--tokenizer", tokenizer] if tokenizer else ["--vocab-size", "4096"]
    calls = {
        "extract": ["extract", *files, "--workspace", workspace],
        "filter": ["filter", "--rules", "gopher", "--workspace", workspace],
        "dedup": ["dedup", "--workspace", workspace],
        "tokenize": ["tokenize", *fitted, "--workspace", workspace],
    }
    return {name: gristmill(call, workers) for name, call in calls.items()}


def tampered(workspace: str, public: str) -> dict[str, bool]:
    """Whether each forgery of the log is found."""
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.pipelines.removals.log import LOG, hash_of, head_of, read_log, signature_faults

    folder = Path(workspace, "removals")
    kept = {name: (folder / name).read_text() for name in (LOG, "head")}
    lines = [json.loads(line) for line in kept[LOG].splitlines()]
    found = {}
    for kind in ("whole", "forged", "dropped", "anew"):
        told = [dict(line) for line in lines]
        if kind in ("forged", "anew"):
            told[0]["documents"] = 0
        if kind == "dropped":
            told = told[:-1]
        if kind == "anew":
            previous = "0" * 64
            for line in told:
                line["previous"] = previous
                line["hash"] = previous = hash_of(line)
            (folder / "head").write_text(head_of(told))
        (folder / LOG).write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in told))
        space = Workspace(workspace)
        found[kind] = bool(read_log(space)[1] or signature_faults(space, public))
        for name, text in kept.items():
            (folder / name).write_text(text)
    return found


def measured(documents: int, requests: int, workers: int, scratch: str | None) -> dict:
    """One corpus: seconds of every part, and whether what is left is sound."""
    from gristmill.corpus.removals import add_optout, parse
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.pipelines.removals.absence import differences, prove_absence

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        home = Path(folder)
        write_inputs(home / "in", documents)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "key"], check=True)
        numbers = random.Random(0).sample(range(documents), requests)
        listed = [f"https://host{number % 997}.example/{number}" for number in sorted(numbers)]
        (home / "list.txt").write_text("\n".join(listed) + "\n")
        held, other = str(home / "held"), str(home / "other")
        first = build(home / "in", held, workers)
        call = ["opt-out", str(home / "list.txt"), "--sign", str(home / "key"), "--workspace", held]
        removal = gristmill(call, workers)
        without = Workspace(other)
        without.create()
        add_optout(without, parse(listed, "list"))
        anew = build(home / "in", other, workers, os.path.join(held, "tokenizer", "tokenizer.json"))
        # a tokenizer that is given is recorded as given: its own table says how it came, and its file is the same
        differ = differences(Workspace(held), without, ("removed",))
        proof = prove_absence(Workspace(held), str(home / "key.pub"))
        return {
            "documents": documents,
            "requests": requests,
            "build": first,
            "anew": anew,
            "removal": removal,
            "differing_tables": differ,
            "findings": proof["findings"],
            "found": tampered(held, str(home / "key.pub")),
        }


def ratios(result: dict, begun: dict) -> tuple[float, float]:
    """(wall, CPU) of the removal as shares of building anew, what it costs to begin taken off both; nan where building
    anew is not three times that, so that the difference says nothing."""
    shares = []
    for at in (0, 1):
        removal, begin = result["removal"][at], begun["removal"][at]
        anew, anew_begin = (sum(part[at] for part in one["anew"].values()) for one in (result, begun))
        shares.append((removal - begin) / (anew - anew_begin) if anew > 3 * anew_begin else math.nan)
    return shares[0], shares[1]


def sound(result: dict) -> bool:
    """Whether the workspace is that which never held them, proven, and every forgery of the log is found."""
    found = {"whole": False, "forged": True, "dropped": True, "anew": True}
    return not result["differing_tables"] and not result["findings"] and result["found"] == found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", default=None)
    asked = parser.parse_args()
    if shutil.which("ssh-keygen") is None:
        print("removal: ssh-keygen is not on this machine")
        return 77
    begun = measured(LEAST, 10, asked.workers, asked.folder)
    print(json.dumps({"begun": begun}, indent=1))
    good, cpu = sound(begun), 1.0
    for documents in sorted(asked.documents):
        result = measured(documents, asked.requests, asked.workers, asked.folder)
        whole = result["removal"][1] / sum(part[1] for part in result["anew"].values())
        wall, cpu = ratios(result, begun)
        good = good and sound(result)
        print(json.dumps(result, indent=1))
        print(
            f"removal: {documents:,} documents: {cpu:.3f} of the CPU and {wall:.3f} of the time of building anew; "
            f"{whole:.3f} of the CPU with what it costs to begin"
        )
    if math.isnan(cpu):
        print("removal: too few documents to tell the cost")
    print(f"removal: {'equal and proven' if good else 'NOT equal or not proven'}; at most {MOST} is claimed")
    return 0 if good and cpu <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
