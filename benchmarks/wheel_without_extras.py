"""Claim: the wheel alone, in an empty environment without extras, curates a corpus without torch; import takes 0.2 s.

    python benchmarks/wheel_without_extras.py [--constraint constraints.txt]

Builds the wheel, installs it with what the core needs into an empty environment by pip (this needs a package index),
and says what that took: distributions, bytes on disk, seconds. Then, with no torch there: the wall time of `import
gristmill` in a fresh process (the best of five), `gm.extract`, `gm.signals`, `gm.duplicates`, and the commands extract,
filter, dedup, write and sql on a handful of documents. Fails where any of them does, or where torch was installed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "tokenizers", "sklearn", "lightgbm", "fasttext", "transformers")
PIECES = """
import sys
import gristmill as gm
text = "The mill stands by the river and grinds the corn of the whole valley. " * 12
page = gm.extract("<html><body><article>" + f"<p>{text}</p>" * 3 + "</article></body></html>")
assert "The mill stands" in page.text and page.language == "en"
assert gm.signals([text], ["gopher@datatrove"])["gopher@datatrove"][0]["word_count"].as_py() > 100
assert sum(gm.duplicates([text, text, "Something else altogether, of other words."])["survivor"].to_pylist()) == 2
assert gm.pii("write to a@b.example")[0][2] == "email"
print(sorted(set(sys.modules) & {"apache_beam", "torch"}))
"""


def run(*command: object, folder: Path | None = None) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=folder, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:200]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--constraint", default=str(ROOT / "constraints.txt"))
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pip = (sys.executable, "-m", "pip")
        run(*pip, "wheel", "-q", "--no-deps", "-w", folder, ROOT)
        (wheel,) = folder.glob("gristmill-*.whl")
        venv.create(folder / "venv", with_pip=False)
        binaries = folder / "venv" / "bin"
        python = binaries / "python"
        began = time.monotonic()
        run(*pip, "--python", python, "install", "-q", "--constraint", asked.constraint, wheel)
        took = time.monotonic() - began
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
        count = len(list(site.glob("*.dist-info")))
        print(f"install: {count} distributions, {size / 1e6:.0f} MB, {took:.0f} s")
        found = [name for name in HEAVY if (site / name).exists()]
        if found:
            raise SystemExit(f"the core installs {', '.join(found)}")
        timed = []
        for _ in range(6):
            began = time.monotonic()
            run(python, "-c", "import gristmill", folder=folder)
            timed.append(time.monotonic() - began)
        bare = []
        for _ in range(6):
            began = time.monotonic()
            run(python, "-c", "pass", folder=folder)
            bare.append(time.monotonic() - began)
        took = min(timed) - min(bare)
        print(f"import gristmill: {took * 1000:.0f} ms above an interpreter's own start")
        pieces = run(python, "-c", PIECES, folder=folder)  # where the repository's own folders are not the package
        print(f"pieces: in memory, of {{apache_beam, torch}}: {pieces.strip()}")
        words = [
            f"Sack {n} of the mill was filled with wheat by the miller of the {n}th valley. " * 12 for n in range(8)
        ]
        rows = [{"text": text, "weight": n} for n, text in enumerate([*words, words[0], "short"])]
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        gristmill = binaries / "gristmill"
        (folder / "rules.yaml").write_text(
            "name: few\nrules:\n"
            "  - {rule: min_words, value: gopher@paper.word_count, threshold: 50, keep: value >= threshold}\n"
        )
        for words in (
            ("extract", "in.jsonl", "--workspace", "W"),
            ("filter", "--rules", "rules.yaml", "--workspace", "W"),
            ("dedup", "--workspace", "W"),
            ("write", "out", "--format", "jsonl.gz", "--workspace", "W"),
        ):
            began = time.monotonic()
            run(gristmill, *words, folder=folder)
            print(f"gristmill {words[0]}: {time.monotonic() - began:.1f} s")
        query = "select stage, count(*) filter (where kept) as kept from decisions group by all order by all"
        print(run(gristmill, "sql", query, "--workspace", "W", "--format", "csv", folder=folder).strip())
        if took > 0.2:
            raise SystemExit("import gristmill took more than 0.2 s")


if __name__ == "__main__":
    main()
