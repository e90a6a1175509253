"""Compile what filter and dedup will need while the demo still collects and extracts: on the other core, once for all.

Runs both stages on a handful of made-up documents in a folder of its own, so that just the kernels are compiled that
the demo runs, with the types that it gives them; processes that need one meanwhile wait for it (`corpus.compiling`).
What it made of the documents is thrown away.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .engine.run import load_settings, run

SENTENCE = "the mill number {0} grinds the grain of field {1} and the miller of {2} has it as flour by noon"
SETTINGS = """
workspace: {folder}/W
extract: {{sandbox: false, inputs: [{{paths: ["{folder}/made.jsonl"], domain: made}}]}}
filter: {{rules: {rules}}}
dedup: {{threshold: 0.8}}
"""


def begin(rules: Path) -> subprocess.Popen[bytes]:
    """The process that compiles; it ends by itself. What it says of an error goes to this process's stderr."""
    return subprocess.Popen([sys.executable, "-m", __spec__.name, str(rules)], stdout=subprocess.DEVNULL)


def compile_ahead(rules: str) -> None:
    """The work of `begin`, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number in range(12):
            lines = [SENTENCE.format(number + line, line, number * line % 5) for line in range(30)]
            rows.append({"text": "\n".join(lines)})
        rows += [*rows[:3], {"text": rows[5]["text"] + "\nand one more sack"}]
        made = "".join(json.dumps(row) + "\n" for row in rows)
        Path(folder, "made.jsonl").write_text(made, encoding="utf-8")
        settings = Path(folder, "settings.yaml")
        settings.write_text(SETTINGS.format(folder=folder, rules=rules), encoding="utf-8")
        for _ in run(load_settings(settings), quiet=True):
            pass


if __name__ == "__main__":
    compile_ahead(sys.argv[1])
