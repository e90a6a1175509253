"""Run every benchmark, one after the other, each in a process of its own; `python -m benchmarks NAME...` runs some.

A benchmark that lacks its data, its peer or its device says so and counts as skipped (exit 77), not as passed.
"""

import subprocess
import sys
from pathlib import Path

SKIPPED = 77


def main(names: list[str]) -> int:
    scripts = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(names) - set(scripts))
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are: {', '.join(scripts)}\n")
        return 2
    ends = {}
    for name in names or scripts:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        ends[name] = subprocess.run([sys.executable, "-m", f"{__package__}.{name}"]).returncode
    words = {0: "passed", SKIPPED: "skipped"}
    for name, end in ends.items():
        sys.stdout.write(f"{words.get(end, f'FAILED ({end})'):>12}  {name}\n")
    return int(any(end not in words for end in ends.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
