"""Everything that wants a GPU, in prepared runs of minutes: `make gpu`, or on a bare machine `bash benchmarks/gpu.sh`.

Parts are ordered by worth and each has a time limit: run A (8 minutes) twins, fleets, the loop at 150m, scoring; run B
(8 minutes) the other sizes; run C (6 minutes) a search. Each part is a process of its own whose lines are kept as they
come, in gpu.json and gpu.md, with device, driver, torch and clocks: what was reached before a limit or a crash stays.
A part that ended well on this device is not run again, so the next call continues where the last one ended.

    python -m benchmarks.gpu [--run A] [--run B] [--out FOLDER] [--again]
    python -m benchmarks.gpu --quick [--out FOLDER]    every part on the CPU at toy sizes; files nothing unless --out
    python -m benchmarks.gpu --checklist               what has to be carried to a machine without a network

Exits 77 without a CUDA device, 1 where a part failed, and names the parts that their limit ended.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIMIT = 64 << 20  # bytes that may be carried


@dataclass(frozen=True)
class Part:
    """One thing to measure: when, for how long at most, and by which command."""

    run: str
    name: str
    seconds: int
    arguments: tuple[str, ...]  # of `python -m`; `--quick` is added

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-u", "-m", *self.arguments]


PARTS = (
    Part("A", "twins", 120, ("benchmarks.gpu_twins",)),
    Part("A", "fleets, RegMix's trunk", 120, ("benchmarks.fleet_gpu",)),
    Part("A", "loop, 150m at 2,048", 150, ("benchmarks.training_gpu", "150m", "--length", "2048")),
    Part("A", "scoring", 60, ("benchmarks.scoring_gpu",)),
    Part("B", "loop, d12 beside the habits of nanochat", 120, ("benchmarks.training_gpu", "d12", "--length", "2048")),
    Part("B", "loop, 350m at 2,048", 120, ("benchmarks.training_gpu", "350m", "--length", "2048")),
    Part("B", "loop, 60m at 2,048", 60, ("benchmarks.training_gpu", "60m", "--length", "2048")),
    Part("B", "fleets, 15M", 60, ("benchmarks.fleet_gpu", "--size", "15m")),
    Part("B", "fleets, 30M", 60, ("benchmarks.fleet_gpu", "--size", "30m")),
    Part("B", "loop, all sizes at 1,024", 60, ("benchmarks.training_gpu", "150m", "60m", "350m", "--length", "1024")),
    Part("C", "search", 360, ("benchmarks.search_gpu",)),
)


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    import torch

    told: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    if not torch.cuda.is_available():
        return told | {"device": "a CPU"}
    told["device"] = torch.cuda.get_device_name()
    fields = ("driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit")
    asked = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
        told |= dict(zip(fields, answer.strip().splitlines()[0].split(", "), strict=True))
    except (OSError, subprocess.SubprocessError) as error:
        told["nvidia-smi"] = f"did not answer: {error}"
    return told


class Results:
    """gpu.json and gpu.md of a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, device: dict[str, Any]) -> None:
        self.folder, self.device = folder, device
        self.parts: list[dict[str, Any]] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "gpu.json"
            self.parts = json.loads(path.read_text())["parts"] if path.exists() else []

    def done(self, part: Part) -> bool:
        told = {"name": part.name, "end": "done"}
        return any(
            told.items() <= one.items() and one["machine"]["device"] == self.device["device"] for one in self.parts
        )

    def begin(self, part: Part) -> dict[str, Any]:
        told = {"machine": self.device, "end": "running", "rows": [], "said": []}
        self.parts.append({key: value for key, value in asdict(part).items() if key != "arguments"} | told)
        self.write()
        return self.parts[-1]

    def write(self) -> None:
        """Both files, whole or as they were."""
        if self.folder is None:
            return
        for name, text in (
            ("gpu.json", json.dumps({"parts": self.parts}, indent=1) + "\n"),
            ("gpu.md", markdown(self.parts)),
        ):
            scratch = self.folder / f".{name}"
            scratch.write_text(text)
            os.replace(scratch, self.folder / name)


def markdown(parts: list[dict[str, Any]]) -> str:
    """The parts as tables, one after the other."""
    lines = ["# Figures of a GPU\n", "Written by `benchmarks/gpu.py`; ratios are within one machine.\n"]
    for part in parts:
        own = ", ".join(f"{key} {value}" for key, value in part["machine"].items())
        lines.append(f"## {part['run']}: {part['name']} ({part['end']})\n\n{own}\n")
        for columns in dict.fromkeys(tuple(row) for row in part["rows"]):
            lines.append(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
            lines += [
                f"| {' | '.join(str(row[name]) for name in columns)} |" for row in part["rows"] if tuple(row) == columns
            ]
            lines.append("")
        lines += [f"> {line}" for line in part["said"][-20:]] + [""]
    return "\n".join(lines)


def perform(part: Part, results: Results, quick: bool) -> str:
    """Run a part to its end or its limit, keep every line, and say how it ended."""
    told = results.begin(part)
    command = part.command + (["--quick"] if quick else [])
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ended: list[bool] = []
    limit = threading.Timer(part.seconds * (10 if quick else 1), lambda: (ended.append(True), process.kill()))
    limit.start()
    assert process.stdout is not None
    try:
        for line in process.stdout:
            sys.stdout.write(f"  {line}")
            sys.stdout.flush()
            row = as_row(line)
            told["rows"].append(row) if row is not None else told["said"].append(line.rstrip())
            results.write()
        code = process.wait()
    finally:
        limit.cancel()
        process.kill()
    told["end"] = "limit" if ended else {0: "done", 77: "skipped"}.get(code, f"failed ({code})")
    told["took"] = round(time.monotonic() - began, 1)
    results.write()
    return told["end"]


def as_row(line: str) -> dict[str, Any] | None:
    """A line that is a JSON object, else None."""
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def checklist() -> int:
    """What is carried: the tree, and a wheel of each package that the parts import and the device's Python lacks."""
    root = Path(__file__).parents[1]
    tree = sum((root / name).stat().st_size for name in subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.splitlines())  # fmt: skip
    for part in PARTS:
        __import__(part.arguments[0])
    owners = importlib.metadata.packages_distributions()
    own = {name.split(".")[0] for name in sys.modules} - {"gristmill", "benchmarks"}
    packages = sorted({owner for name in own for owner in owners.get(name, ())})
    print(
        "Python 3.12 and torch 2.11 with its Triton are there; copy the tree, and wheels of what `pip show` lacks of:"
    )
    print("  " + " ".join(f"{name}=={importlib.metadata.version(name)}" for name in packages if name != "torch"))
    print("  (--platform manylinux_2_28_x86_64 --python-version 3.12 --only-binary=:all: --no-deps, into wheels/)")
    wheels = sum(path.stat().st_size for path in (root / "wheels").glob("*.whl"))
    print(f"data: none, all parts draw their own; tree {tree / 1e6:.1f} MB, wheels/ {wheels / 1e6:.1f} MB of 67 MB")
    print("then: bash benchmarks/gpu.sh --run A --out FOLDER (B, C), and keep gpu.json and gpu.md of FOLDER")
    return int(tree + wheels > LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", action="append", choices=sorted({part.run for part in PARTS}))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", action="store_true", help="also what is done already")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--checklist", action="store_true")
    told = parser.parse_args()
    if told.checklist:
        return checklist()
    device = machine()
    if device["device"] == "a CPU" and not told.quick:
        print("gpu needs a CUDA device and torch sees none here; nothing was measured")
        return 77
    results, ends = Results(told.out or (None if told.quick else RESULTS), device), {}
    for part in PARTS:
        if told.run and part.run not in told.run:
            continue
        if results.done(part) and not told.again:
            print(f"{part.run}: {part.name}: done before")
            continue
        print(f"{part.run}: {part.name}, at most {part.seconds} s", flush=True)
        ends[part] = perform(part, results, told.quick)
    for part, end in ends.items():
        print(f"{end:>12}  {part.run}: {part.name}")
    return int(any(end.startswith("failed") or (told.quick and end != "done") for end in ends.values()))


if __name__ == "__main__":
    raise SystemExit(main())
