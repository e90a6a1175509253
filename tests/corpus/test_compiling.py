"""Compiled functions: kept between processes, and compiled anew once a file that they take code from is another."""

import os
import subprocess
import sys
from pathlib import Path

from gristmill.corpus.compiling import _Lock, sources_stamp

COMPILED = """from gristmill.corpus.compiling import compiled

from .{module} import {name}


@compiled
def {function}():
    return {body}
"""
CALLER = COMPILED.format(module="callee", name="one", function="twice", body="one() * 2")
CALLEE = COMPILED.format(module="constant", name="ONE", function="one", body="ONE")
ASK = "from grain.caller import twice; print(twice(), sum(twice.stats.cache_hits.values()))"


def seeing(folder: Path) -> dict[str, str]:
    """The environment of a process that imports from a folder."""
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def asked(folder: Path) -> str:
    """What a fresh process computes, and whether it had to compile."""
    done = subprocess.run([sys.executable, "-c", ASK], env=seeing(folder), capture_output=True, text=True, check=True)
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


KERNEL = """from gristmill.corpus.compiling import compiled


@compiled
def made(x):
    return x + 1
"""
TOLD = "from grain.kernel import made; print(made(1), sum(made.stats.cache_hits.values()))"


def test_of_processes_that_need_a_function_at_once_one_compiles_and_the_others_take_what_it_made(tmp_path: Path):
    package = tmp_path / "grain"
    package.mkdir()
    (package / "kernel.py").write_text(KERNEL)
    ask = f"import sys; sys.stdin.read(1); {TOLD}"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", ask], env=seeing(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    told = sorted(process.communicate(b"x")[0].decode().strip() for process in begun)
    assert told == ["2 0", "2 1", "2 1", "2 1"]


def test_a_process_that_died_while_it_compiled_holds_nobody_up(tmp_path: Path):
    package = tmp_path / "grain"
    package.mkdir()
    (package / "kernel.py").write_text(KERNEL)
    die = "import os; from grain.kernel import made; made._cache._lock.take(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", die], env=seeing(tmp_path)).returncode == 9
    done = subprocess.run(
        [sys.executable, "-c", TOLD], env=seeing(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "2 0"


def test_a_folder_in_which_no_file_can_be_locked_stops_no_one(tmp_path: Path):
    lock = _Lock(str(tmp_path / "a file"))
    (tmp_path / "a file").mkdir()
    assert lock.take()
    lock.release()
