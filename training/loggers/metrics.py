"""What a run says while it trains: `metrics.jsonl`, the boards asked for, and one progress line.

A line of JSON per report: step, tokens, loss, lr, tokens_per_second, mfu (null where the device's peak is unknown),
bits_per_byte by domain where the step was evaluated, and shares by domain where a policy moves them. A run that
resumes or rolls back first drops the lines after its checkpoint, so every step is told once.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...corpus.store.errors import WorkspaceError
from ...corpus.store.shards import replacing
from .boards import Told


class Metrics:
    """Reports of one run; only the leading rank writes."""

    def __init__(
        self,
        folder: str,
        step: int,
        leads: bool,
        quiet: bool,
        boards: Sequence[str] = (),
        project: str = "gristmill",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._file: Any = None
        self._boards: Told | None = None
        self._quiet = quiet or not leads
        self._terminal = sys.stderr.isatty()
        if not leads:
            return
        self._path = f"{folder}/metrics.jsonl"
        self._begin(step)
        self._boards = Told(tuple(boards), folder, project, step, config or {})

    def _begin(self, step: int) -> None:
        """Drop what was said of later steps, and go on behind it."""
        keep = read_metrics(self._path, step)
        with replacing(self._path) as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in keep)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115

    def rewind(self, step: int) -> None:
        """After a rollback to `step`: later steps are told when they are taken again."""
        if self._file is not None:
            self._file.close()
            self._begin(step)

    def write(self, line: dict[str, Any], steps: int) -> None:
        """One report, on disk when this returns."""
        if self._file is None:
            return
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._boards is not None:
            self._boards.log(line)
        if not self._quiet:
            text = progress(line, steps)
            sys.stderr.write(f"\r\x1b[2K{text}" if self._terminal else text + "\n")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        """A remark for whoever watches."""
        if self._file is not None:
            sys.stderr.write(f"{text}\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._boards is not None:
            self._boards.close()
        if self._terminal and not self._quiet:
            sys.stderr.write("\n")


def progress(line: dict[str, Any], steps: int) -> str:
    """`train: step 120/400, loss 3.214, 81,200 tokens/s, MFU n/a, 0:42 left`."""
    rate = line["tokens_per_second"]
    left = int((steps - line["step"]) * line["tokens"] / max(1, line["step"]) / max(rate, 1e-9))
    used = "n/a" if line["mfu"] is None else f"{line['mfu']:.1%}"
    return (
        f"train: step {line['step']}/{steps}, loss {line['loss']:.3f}, {rate:,.0f} tokens/s, MFU {used}, "
        f"{left // 60}:{left % 60:02d} left"
    )


def read_metrics(path: str, until: int | None = None) -> list[dict[str, Any]]:
    """The reports of a run up to a step; a line that a killed process left half-written is not there."""
    if not os.path.exists(path):
        return []
    found = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith("\n"):
                break
            try:
                line = json.loads(text)
            except ValueError as error:
                raise WorkspaceError(f"{path} line {number} is damaged ({error}); restore it, or remove it") from error
            if until is None or line["step"] <= until:
                found.append(line)
    return found


def last_report(path: str, step: int) -> dict[str, Any]:
    """What was said of the last step of a run. WorkspaceError where that is lost."""
    lines = read_metrics(path)
    if not lines or lines[-1]["step"] != step:
        raise WorkspaceError(
            f"{path} says nothing of step {step}, at which the run ended; restore it, or remove the newest checkpoint, "
            f"so that the steps behind the one before are trained and told again"
        )
    return lines[-1]
