"""Run the pages as they stand, each in an empty folder: python docs/execute.py [--write] [PAGE...].

A block of `bash` is run as a shell script that stops at the first failure, a block of `python` as a program. A block
that has a caption is a file, and is written first. A block of `text` behind a command is what the command prints, and
is compared with it line by line; `--write` puts what was printed there instead. A line `...` of such a block stands for
any lines. Prints each block's seconds and exit code; exits 1 where a block failed or printed something else.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FENCE = re.compile(r"^```(\{?[\w-]*\}?) ?(.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"^:(\w+): (.*)\n", re.MULTILINE)
RUN = ("bash", "python")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str  # bash, python, text, file or shown
    name: str  # of the file that it is
    body: str
    span: tuple[int, int]  # of its body in the page


@dataclass(frozen=True)
class Outcome:
    """What came of a block that was run."""

    block: Block
    seconds: float
    code: int
    printed: str
    said: str
    expected: Block | None

    @property
    def as_shown(self) -> bool:
        return self.expected is None or matches(self.expected.body, self.printed)


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        kind, argument, body = found.groups()
        options = dict(OPTION.findall(body))
        if kind == "{literalinclude}":
            body = (page.parent / argument).read_text(encoding="utf-8")
        elif kind == "{code-block}":
            body = OPTION.sub("", body).lstrip("\n")
        if "caption" in options:
            yield Block("file", options["caption"], body, found.span(3))
        else:
            yield Block(kind if kind in (*RUN, "text") else "shown", "", body, found.span(3))


def matches(expected: str, printed: str) -> bool:
    """Whether what was printed is what stands on the page."""
    lines = trimmed(expected).split("\n")
    pattern = "".join("(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in lines)
    return re.fullmatch(pattern, trimmed(printed) + "\n") is not None


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def run_page(page: Path, folder: Path) -> list[Outcome]:
    """Run every block of a page in a folder, until one fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    there, outcomes = list(blocks(page)), []
    for number, block in enumerate(there):
        if block.kind == "file":
            (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.name).write_text(block.body, encoding="utf-8")
        if block.kind not in RUN:
            continue
        command = ["bash", "-euo", "pipefail", "-c"] if block.kind == "bash" else [sys.executable, "-c"]
        began = time.monotonic()
        done = subprocess.run([*command, block.body], cwd=folder, env=environment, capture_output=True, text=True)
        following = there[number + 1] if number + 1 < len(there) else None
        expected = following if following is not None and following.kind == "text" else None
        seconds = time.monotonic() - began
        outcomes.append(Outcome(block, seconds, done.returncode, done.stdout, done.stderr, expected))
        if done.returncode:
            break
    return outcomes


def written(page: Path, outcomes: list[Outcome]) -> None:
    """Put what was printed where the page shows something else."""
    text = page.read_text(encoding="utf-8")
    for outcome in reversed(outcomes):
        if outcome.expected is not None and not outcome.as_shown:
            begin, end = outcome.expected.span
            text = text[:begin] + trimmed(outcome.printed) + "\n" + text[end:]
    page.write_text(text, encoding="utf-8")


def pages() -> list[Path]:
    """Every page that has something to run."""
    return [page for page in sorted(HERE.rglob("*.md")) if any(block.kind in RUN for block in blocks(page))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, help="default: every page that has something to run")
    parser.add_argument("--write", action="store_true", help="put what was printed into the pages")
    asked = parser.parse_args()
    wrong = 0
    for page in asked.pages or pages():
        with tempfile.TemporaryDirectory() as folder:
            outcomes = run_page(page, Path(folder))
        print(page)
        for outcome in outcomes:
            first = outcome.block.body.strip().split("\n")[0]
            state = "" if outcome.as_shown else "  PRINTED SOMETHING ELSE"
            print(f"  {outcome.seconds:6.1f} s  exit {outcome.code}  {first[:90]}{state}")
            if outcome.code or not outcome.as_shown:
                wrong += 1
                sys.stderr.write(outcome.said if outcome.code else outcome.printed)
        if asked.write:
            written(page, outcomes)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
