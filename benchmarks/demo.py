"""Claim: `gristmill demo` ends in three minutes on two idle cores, nothing compiled beforehand.

    python -m benchmarks.demo

Runs the command in an empty folder, with an empty cache of compiled kernels, and prints its wall-clock and CPU seconds,
worker processes included, and the page that it ends with. What is printed is kept in `results/demo.txt`, from which
`docs/claims.py` writes the README. Exits 1 where the demo failed or took longer.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "demo.txt"
MOST_SECONDS = 180.0
PAGE, LAST = "What is left of the corpus", "Handed over: "


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "NUMBA_CACHE_DIR": f"{scratch}/kernels"}
        command = [sys.executable, "-m", "gristmill.pipelines.cli", "demo", "--workspace", f"{scratch}/demo"]
        began = time.monotonic()
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.stderr.write(ended.stderr[-2000:])
        return 1
    lines = ended.stdout.splitlines()
    first = lines.index(PAGE)
    last = next(number for number, line in enumerate(lines) if line.startswith(LAST))
    minutes, rest = divmod(round(seconds), 60)
    time_taken = f"{minutes} minutes {rest} seconds, {used.ru_utime + used.ru_stime:.0f} CPU seconds"
    told = "\n".join([time_taken, "", *(line.rstrip() for line in lines[first : last + 1])]) + "\n"
    sys.stdout.write(told)
    RESULT.write_text(told, encoding="utf-8")
    return int(seconds > MOST_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
