"""Claim: a fresh clone needs two commands; `make demo` installs what the demo needs, `make test` adds the rest.

    python -m benchmarks.first_minutes [--without-demo]

Clones the tree as it is committed, and on an empty cache of pip makes what each command installs first (this needs a
package index): seconds, CPU seconds, distributions, bytes on disk, and the largest of them. Then `make demo` in that
clone, with no kernel compiled beforehand: when each stage ended. Prints the load that others put on the machine, since
the times hold for that; kept in `results/first_minutes.txt`, from which `docs/claims.py` writes a part of
`docs/install.md`. Exits 1 where an installation or the demo failed, 77 where no package index answers.
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


def told(name: str, seconds: float, used: float, environment: Path) -> list[str]:
    """The lines of an installation."""
    every = installed(environment)
    largest = ", ".join(f"{name} {size / 1e6:.0f} MB" for size, name in every[:6])
    return [
        f"make {name} installs: {len(every)} distributions, {size_of(environment) / 1e6:,.0f} MB, "
        f"{seconds:.0f} s, {used:.0f} CPU seconds",
        f"  the largest: {largest}",
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--without-demo", action="store_true", help="installations alone")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clone, place = Path(scratch) / "clone", Path(scratch)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        fresh = kept | {"PIP_CACHE_DIR": f"{place}/cache", "NUMBA_CACHE_DIR": f"{place}/kernels"}
        python = f"PYTHON={getattr(sys, '_base_executable', sys.executable)}"
        made(["git", "clone", "--quiet", str(ROOT), str(clone)], place, fresh)
        load = os.getloadavg()[0]
        lines = [f"{os.cpu_count()} cores; others kept {load:.1f} of them busy at the beginning"]
        for name, target in (("demo", ".venv/.demo"), ("test", ".venv/.ready")):
            _, seconds, used = made(["make", "--silent", python, target], clone, fresh)
            lines += told(name, seconds, used, clone / ".venv")
            if name == "demo" and not asked.without_demo:
                printed, seconds, used = made(["make", "--silent", "demo"], clone, fresh)
                lines.append(f"make demo after that: {seconds:.0f} s, {used:.0f} CPU seconds")
                lines += [f"  {line}" for line in printed.splitlines() if STAGE.match(line)]
    lines.append(f"others kept {os.getloadavg()[0]:.1f} cores busy at the end, this script's own work among them")
    sys.stdout.write("\n".join(lines) + "\n")
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
