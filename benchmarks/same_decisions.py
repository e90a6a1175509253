"""Claim: code that was only moved decides as before: the same documents are kept, the others fall by the same rules.

    python -m benchmarks.same_decisions [BEFORE AFTER] [--megabytes 40] [--folder SCRATCH]

Each of two git revisions, in a worktree of its own, runs the stages of its own `gristmill demo` that decide, all on one
input, which BEFORE's demo collects. The tables are compared by id in every column that both have: kept or dropped,
rule, value, threshold, survivor. Without revisions: those around the move of all modules into rooms; what that printed
is in `results/same_decisions.txt`. Exits 1 where a decision differs, or where a table or an id is on one side alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import Any

import pyarrow.parquet as pq
import yaml

HOME = Path(__file__).resolve().parent.parent
MOVED = ("de5856f", "3ed72bc")  # before and after the modules were moved into rooms
ROOMS = ("corpus", "dedup", "filters", "mixing", "pipelines", "proxy_models", "training")
UNDECIDED = ("tokenize", "mix", "train", "export", "report")  # stages of the demo that decide nothing
EXAMPLES = 3  # of decisions that differ, for each table
LOCATED = "import gristmill.corpus as c, gristmill.pipelines as p; print(*c.__path__, *p.__path__)"
Rows = dict[str, dict[str, Any]]  # id -> row of a table


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HOME, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


class Revision:
    """A revision in a worktree, links that show it to Python as the package `gristmill`, and a workspace."""

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        self.name, self.tree, self.links, self.workspace = name, folder / "tree", folder / "links", folder / "made"
        git("worktree", "add", "--quiet", "--detach", str(self.tree), name)
        stack.callback(git, "worktree", "remove", "--force", str(self.tree))
        package = self.links / "gristmill"
        package.mkdir(parents=True)
        for path in [*self.tree.glob("gristmill/*"), *(self.tree / room for room in ROOMS)]:
            (package / path.name).symlink_to(path)
        if (found := self.python("-c", LOCATED).split()) != [f"{package}/corpus", f"{package}/pipelines"]:
            raise SystemExit(f"{name}: what is imported is not this revision but {found}")

    def python(self, *arguments: str) -> str:
        """What a process with this revision's modules prints; it sees little of the environment, which pydoc shows."""
        path = {"PYTHONPATH": str(self.links), "PYTHONSAFEPATH": "1", "PATH": os.environ["PATH"]}
        fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([sys.executable, *arguments], env=path | fixed, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def settings(self) -> dict[str, Any]:
        """What the demo sets for the stages that decide, and its rules."""
        stages, rules = (self.tree / "pipelines" / name for name in ("demo.yaml", "demo_rules.yaml"))
        if not stages.exists() or not rules.exists():
            raise SystemExit(
                f"{self.name}: cannot be compared, its demo is not pipelines/demo.yaml and demo_rules.yaml"
            )
        sections = yaml.safe_load(stages.read_text(encoding="utf-8"))
        decide = {name: section for name, section in sections.items() if name not in UNDECIDED}
        return {**decide, "rules": yaml.safe_load(rules.read_text(encoding="utf-8"))}

    def run(self, settings: dict[str, Any], inputs: Path) -> dict[str, Rows]:
        """The rows of `documents` and of each table of decisions; in a new workspace all files are in force."""
        self.workspace.mkdir()
        (self.workspace / "rules.yaml").write_text(yaml.safe_dump(settings["rules"]), encoding="utf-8")
        text = yaml.safe_dump({name: section for name, section in settings.items() if name != "rules"})
        text = text.replace("$workspace/input", str(inputs))
        file = self.workspace / "settings.yaml"
        file.write_text(Template(text).substitute(workspace=self.workspace, workers=1), encoding="utf-8")
        self.python("-m", "gristmill.pipelines.cli", "run", str(file))
        decided = sorted(path for path in self.workspace.glob("decisions/*") if path.is_dir())
        if not decided:
            raise SystemExit(f"{self.name}: cannot be compared, its decisions are not in folders decisions/STAGE")
        read = {f"decisions/{path.name}": self.rows(path) for path in decided}
        return {"documents": self.rows(self.workspace / "documents", ["id", "text"])} | read

    def rows(self, folder: Path, columns: list[str] | None = None) -> Rows:
        rows = [row for path in folder.rglob("*.parquet") for row in pq.ParquetFile(path).read(columns).to_pylist()]
        found = {row["id"]: row for row in rows}
        if len(found) < len(rows):
            raise SystemExit(f"{self.name}: {folder.name} has two rows of one id")
        return found


def compare(before: Rows, after: Rows, rewritten: set[str]) -> tuple[str, bool]:
    """(what is said of a table, whether it is the same on both sides)."""
    columns = [next(iter(rows.values()), {}).keys() for rows in (before, after)]
    both, shared = before.keys() & after.keys(), sorted(columns[0] & columns[1])
    every = {id: [name for name in shared if before[id][name] != after[id][name]] for id in sorted(both)}
    apart = {id: names for id, names in every.items() if names}
    alone = [len(rows.keys() - both) for rows in (before, after)]
    kept = [sum(row["kept"] for row in rows.values()) for rows in (before, after)]
    said = f"{len(before.keys() | after.keys()):,} documents, kept before {kept[0]:,}, kept after {kept[1]:,}; "
    said += f"ids that differ {len(apart):,}, only before {alone[0]:,}, only after {alone[1]:,}"
    if apart:
        counts = Counter(name for names in apart.values() for name in names)
        said += f"\n  differing: {', '.join(f'{name} {count:,}' for name, count in counts.most_common())}"
        said += f"; {len(apart.keys() & rewritten):,} of the {len(apart):,} have another text"
        for id, names in list(apart.items())[:EXAMPLES]:
            said += f"\n  {id}: {', '.join(f'{name} {before[id][name]} -> {after[id][name]}' for name in names)}"
    if not both:
        said += "\n  no id is on both sides: nothing can be compared by id"
    elif columns[0] != columns[1]:
        said += f"\n  not compared, for they are on one side alone: columns {sorted(columns[0] ^ columns[1])}"
    return said, bool(both) and not apart and not any(alone)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", metavar="BEFORE AFTER", default=MOVED)
    parser.add_argument("--megabytes", type=float, default=40.0)
    parser.add_argument("--folder")
    asked = parser.parse_args()
    if len(asked.revisions) != 2:
        parser.error("give two revisions, or none")
    try:
        names = [git("log", "-1", "--format=%h %s", name, "--") for name in asked.revisions]
    except (OSError, subprocess.CalledProcessError):
        print(f"skipped: this is no checkout that has {' and '.join(asked.revisions)}")
        return 77
    print(f"before: {names[0]}\nafter: {names[1]}")
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch, ExitStack() as stack:
        home = Path(scratch).resolve()
        before, after = (Revision(name, home / str(side), stack) for side, name in enumerate(asked.revisions))
        collecting = ("-m", "gristmill.pipelines.demo_input", str(home / "input"), str(asked.megabytes))
        sizes = json.loads(before.python(*collecting).splitlines()[-1])
        print(f"input: {', '.join(f'{name} {size / 1e6:.1f} MB' for name, size in sizes.items())}")
        set_before, set_after = before.settings(), after.settings()
        if differ := [name for name in set_before | set_after if set_before.get(name) != set_after.get(name)]:
            print(f"each runs its own demo; their settings differ in {', '.join(differ)}")
        made, others = before.run(set_before, home / "input"), after.run(set_after, home / "input")
    texts, other_texts = made.pop("documents"), others.pop("documents")
    rewritten = {id for id in texts.keys() & other_texts.keys() if texts[id] != other_texts[id]}
    print(f"documents: {len(texts):,} before, {len(other_texts):,} after; {len(rewritten):,} have another text")
    same = True
    for table in made | others:
        if table in made and table in others:
            said, alike = compare(made[table], others[table], rewritten)
        else:
            said, alike = f"only {'before' if table in made else 'after'}: cannot be compared", False
        print(f"{table}: {said}")
        same = same and alike
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
