"""Claim: a fresh clone needs two commands; `make demo` installs what the demo needs, `make test` adds the rest.

    python -m benchmarks.first_minutes [--into FOLDER] [--without-demo]

Clones the tree as it is committed, and on an empty cache of pip makes what each command installs first (this needs a
package index): seconds, CPU seconds, distributions, bytes on disk, and the largest of them. Then `make demo` in that
clone, with no kernel compiled beforehand: when each stage ended. Prints the load of the machine, since the
times hold for that; kept in `results/first_minutes.txt`, from which `docs/claims.py` writes a part of
`docs/install.md`, after each step. With --into the clone stays, and a call that is stopped goes on there. Exits 1 where
an installation or the demo failed, 77 where no package index answers.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "first_minutes.txt"
STAGE = re.compile(r" *\d+ s  [\w-]+: ")
UNREACHED = ("No matching distribution found", "Could not find a version", "NewConnectionError", "Connection refused")


def made(words: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[str, float, float]:
    """What a command printed, its seconds, and its CPU seconds. Ends the script where it failed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    if done.returncode:
        sys.stderr.write(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        raise SystemExit(77 if any(sign in done.stderr for sign in UNREACHED) else 1)
    return done.stdout, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def installed(environment: Path) -> list[tuple[int, str]]:
    """(bytes, name and version) of every distribution of an environment, the largest first."""
    (site,) = environment.glob("lib/python*/site-packages")
    found = []
    for one in distributions(path=[str(site)]):
        files = {Path(str(one.locate_file(file))) for file in one.files or ()}
        size = sum(file.stat().st_size for file in files if file.is_file())
        found.append((size, f"{one.metadata['Name']} {one.version}"))
    return sorted(found, reverse=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def told(name: str, took: str, environment: Path) -> list[str]:
    """The lines of an installation."""
    every = installed(environment)
    largest = ", ".join(f"{name} {size / 1e6:.0f} MB" for size, name in every[:6])
    return [
        f"make {name} installs: {len(every)} distributions, {size_of(environment) / 1e6:,.0f} MB, {took}",
        f"  the largest: {largest}",
    ]


class Steps:
    """What a clone was asked to make, in order; lines are kept as they come."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clone = folder, folder / "clone"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.environment = kept | {"PIP_CACHE_DIR": f"{folder}/cache", "NUMBA_CACHE_DIR": f"{folder}/kernels"}
        self.make = ["make", "--silent", f"PYTHON={getattr(sys, '_base_executable', sys.executable)}"]
        self.place = folder / "lines.txt"
        self.lines = self.place.read_text(encoding="utf-8").splitlines() if self.place.exists() else []

    def say(self, *lines: str) -> None:
        self.lines += lines
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        for path in (self.place, RESULT):
            path.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")

    def has(self, begin: str) -> bool:
        return any(line.startswith(begin) for line in self.lines)

    def install(self, name: str, target: str) -> None:
        if self.has(f"make {name} installs"):
            return
        if (self.clone / target).exists():
            took = "made by an earlier call"
        else:
            _, seconds, used = made([*self.make, target], self.clone, self.environment)
            took = f"{seconds:.0f} s, {used:.0f} CPU seconds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        self.say(*told(name, took, self.clone / ".venv"))

    def demo(self) -> None:
        if self.has("make demo after that"):
            return
        printed, seconds, used = made([*self.make, "demo"], self.clone, self.environment)
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        stages = [f"  {line}" for line in printed.splitlines() if STAGE.match(line)]
        self.say(f"make demo after that: {seconds:.0f} s, {used:.0f} CPU seconds, {load}", *stages)


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--into", type=Path, help="folder that keeps the clone, and where a stopped call goes on")
    options.add_argument("--without-demo", action="store_true", help="installations alone")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        steps = Steps((asked.into or Path(scratch)).resolve())
        steps.folder.mkdir(parents=True, exist_ok=True)
        if not steps.clone.exists():
            made(["git", "clone", "--quiet", str(ROOT), str(steps.clone)], steps.folder, steps.environment)
        steps.install("demo", ".venv/.demo")
        steps.install("test", ".venv/.ready")
        if not asked.without_demo:
            steps.demo()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
