"""Claim: signals, signatures and decisions are the same on processors of any kind; scores differ in last digits only.

    python -m benchmarks.processor_kinds [--folder SCRATCH]

One workspace of pages made from a fixed seed. Its signals, signatures and decisions are made under each of three kinds
of vector instructions, in processes of their own, and have to be equal row by row. Then every scoring method is fitted
once, and its scores are computed under each kind with the same fitted models. Printed is the largest difference of a
value between two kinds; rounded up it stands in `pipelines/stages/score/stage.py` as `BETWEEN_PROCESSORS`, and tables
of scores carry it. Training is another matter: a model trained on another kind is another model, as with another seed.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
KINDS = {
    "default": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "own": {},
}
WORDS = (
    "harbour lamp ferry night water stone garden winter river letter machine paper window answer market school "
    "teacher morning village forest engine captain doctor kitchen mountain summer the of and to that with"
)
WHOLE = (["filter", "--rules", "gopher"], ["dedup"])
PRIOR = ["--model", "prior={}/prior.safetensors", "--tokenizer", "{}/tokenizer.json"]  # those that color trained
METHODS = {
    "dsir": ["--target", "{}/wanted.jsonl"],
    "zipfit": ["--target", "{}/wanted.jsonl"],
    "color": ["--target", "{}/wanted.jsonl"],
    "rds": ["--target", "{}/wanted.jsonl", *PRIOR],
    "perplexity": PRIOR,
}


def page(number: int) -> str:
    draw = random.Random(number)
    lines = (" ".join(draw.choices(WORDS.split(), k=14)).capitalize() + "." for _ in range(20))
    return "\n".join(lines)


def gristmill(kind: str, *arguments: str) -> None:
    """Run a command under a kind; SystemExit with what it said where it failed."""
    told = [sys.executable, "-m", "gristmill.pipelines.cli", *arguments]
    done = subprocess.run(told, env={**os.environ, **KINDS[kind]}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gristmill {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def rows(workspace: Path, table: str) -> dict[str, dict[str, Any]]:
    """id -> row of a table."""
    from gristmill.corpus.store.shards import read_batches
    from gristmill.corpus.store.workspace import Workspace

    own = Workspace(str(workspace)).table(table)
    batches: Iterator[Any] = (b for s in own.finished(table).shards for b in read_batches(own.file_url(s)))
    return {row["id"]: row for batch in batches for row in batch.to_pylist()}


def apart(values: list[Any]) -> float:
    """The largest difference of a number between two of several tables, row by row; inf where rows or nulls differ."""
    return max((difference(one, other) for one, other in itertools.combinations(values, 2)), default=0.0)


def difference(one: Any, other: Any) -> float:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((difference(value, other[key]) for key, value in one.items()), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max(map(difference, one, other), default=0.0)
    return 0.0 if one == other else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder")
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        home = Path(scratch)
        (home / "in").mkdir()
        for part in range(4):
            pages = (json.dumps({"text": page(n), "url": f"https://h.example/{n}"}) + "\n" for n in range(part, 800, 4))
            (home / "in" / f"{part}.jsonl").write_text("".join(pages))
        (home / "wanted.jsonl").write_text("".join(json.dumps({"text": page(10**6 + n)}) + "\n" for n in range(60)))
        begun = home / "begun"
        gristmill("own", "extract", str(home / "in"), "--shard-bytes", "150000", "--language-model", "none",
                  "--workspace", str(begun))  # fmt: skip
        made = {}
        for kind in KINDS:
            shutil.copytree(begun, made.setdefault(kind, home / f"made-{kind}"))
            for arguments in WHOLE:
                gristmill(kind, *arguments, "--workspace", str(made[kind]))
        for table in ("signals/gopher@paper", "signatures", "decisions/filter", "decisions/dedup"):
            difference = apart([rows(made[kind], table) for kind in KINDS])
            lines.append(f"{table}: {'equal' if not difference else f'apart by {difference:g}'}")
        equal = all(line.endswith("equal") for line in lines)
        for method, arguments in METHODS.items():
            given = [word.replace("{}", scratch) for word in arguments]
            fitted = made["own"]
            gristmill("own", "score", method, *given, "--workspace", str(fitted))
            if method == "color":
                for name in ("prior.safetensors", "tokenizer.json"):
                    shutil.copy(fitted / "proxies" / "color" / name, home)
            scored = []
            for kind in KINDS:
                copy = home / f"{method}-{kind}"
                shutil.copytree(fitted, copy)
                (copy / "commits" / f"scores%2F{method}.json").unlink()
                shutil.rmtree(copy / "scores" / method)
                gristmill(kind, "score", method, *given, "--workspace", str(copy))
                scored.append(rows(copy, f"scores/{method}"))
                shutil.rmtree(copy)
            lines.append(f"scores/{method}: largest difference of a value {apart(scored):.2g}")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    (RESULTS / "processor_kinds.txt").write_text(text)
    return int(not equal)


if __name__ == "__main__":
    sys.exit(main())
