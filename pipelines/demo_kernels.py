"""Compile what filter and dedup will need while the demo still collects and extracts: on the other core, once for all.

Runs both stages on a handful of made-up documents in a folder of its own, so that just the kernels are compiled that
the demo runs, with the types that it gives them; processes that need one meanwhile wait for it (`corpus.compiling`).
What it made of the documents is thrown away.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from .engine.run import load_settings, run

WORDS = (
    "the mill of a town stands by that river and its wheel turns with water to grind wheat have good for people who "
    "bring grain in sacks from fields around it every autumn morning when light is still low over hills"
).split()
SETTINGS = """
workspace: {folder}/W
extract: {{sandbox: false, inputs: [{{paths: ["{folder}/made.jsonl"], domain: made}}]}}
filter: {{rules: {rules}}}
dedup: {{threshold: 0.8}}
"""


def begin(rules: Path) -> subprocess.Popen[bytes]:
    """The process that compiles; it ends by itself. What it says of an error goes to this process's stderr."""
    return subprocess.Popen([sys.executable, "-m", __spec__.name, str(rules)], stdout=subprocess.DEVNULL)


def compile_ahead(rules: str) -> dict[str, int]:
    """The work of `begin`, in this process. The counts of dedup."""
    with tempfile.TemporaryDirectory() as folder:
        draw = random.Random(0)
        texts = ["\n".join(" ".join(draw.choices(WORDS, k=12)) + "." for _ in range(30)) for _ in range(12)]
        texts += [*texts[:3], f"{texts[5]}\nand one more sack"]
        rows = [{"text": text} for text in texts]
        made = "".join(json.dumps(row) + "\n" for row in rows)
        Path(folder, "made.jsonl").write_text(made, encoding="utf-8")
        settings = Path(folder, "settings.yaml")
        settings.write_text(SETTINGS.format(folder=folder, rules=rules), encoding="utf-8")
        *_, last = run(load_settings(settings), quiet=True)
        return last["tables"]["decisions/dedup"]


if __name__ == "__main__":
    compile_ahead(sys.argv[1])
