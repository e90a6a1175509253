"""Compiled functions: kept between processes, and compiled anew once a file that they take code from is another."""

import subprocess
import sys
from pathlib import Path

from gristmill.corpus.compiling import sources_stamp

COMPILED = """from gristmill.corpus.compiling import compiled

from .{module} import {name}


@compiled
def {function}():
    return {body}
"""
CALLER = COMPILED.format(module="callee", name="one", function="twice", body="one() * 2")
CALLEE = COMPILED.format(module="constant", name="ONE", function="one", body="ONE")
ASK = "from grain.caller import twice; print(twice(), sum(twice.stats.cache_hits.values()))"


def asked(folder: Path) -> str:
    """What a fresh process computes, and whether it had to compile."""
    done = subprocess.run([sys.executable, "-c", ASK], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_change_in_a_file_behind_the_callee_is_noticed(tmp_path: Path):
    package = tmp_path / "grain"
    package.mkdir()
    (package / "caller.py").write_text(CALLER)
    (package / "callee.py").write_text(CALLEE)
    (package / "constant.py").write_text("ONE = 1\n")
    assert [asked(tmp_path), asked(tmp_path)] == ["2 0", "2 1"]
    (package / "constant.py").write_text("ONE = 3\n")
    assert [asked(tmp_path), asked(tmp_path)] == ["6 0", "6 1"]


def test_a_stamp_covers_imports_of_imports_only(tmp_path: Path):
    for name, text in {"a": "from .b import x", "b": "from ..up.c import (\n    x,\n)", "other": "x = 1"}.items():
        (tmp_path / "room").mkdir(exist_ok=True)
        (tmp_path / "room" / f"{name}.py").write_text(text)
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "c.py").write_text("x = 1")
    copies = []
    for changed in ("", "room/other.py", "up/c.py"):
        copy = tmp_path / f"copy{len(copies)}"
        for file in tmp_path.glob("*/?*.py"):
            if file.parent.name in ("room", "up"):
                (copy / file.parent.name).mkdir(parents=True, exist_ok=True)
                (copy / file.parent.name / file.name).write_text(file.read_text())
        if changed:
            (copy / changed).write_text("x = 2")
        copies.append(sources_stamp(copy / "room" / "a.py"))
    assert copies[0] == copies[1] != copies[2]
