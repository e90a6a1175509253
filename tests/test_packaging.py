"""The wheel, the layout and what importing costs."""

import ast
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The bin folder of an empty environment into which the built wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (wheel,) = folder.glob("gristmill-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # what gristmill depends on comes from here, without a network; a path named in a .pth brings no editable install
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


def test_the_wheel_brings_the_command(installed, tmp_path):
    told = run(installed / "gristmill", "--help", cwd=tmp_path)
    for command in ("extract", "filter", "dedup", "tokenize", "mix", "train", "sql", "report", "audit", "recipe"):
        assert f"\n  {command} " in told


def test_the_wheel_brings_its_data_and_is_typed(installed, tmp_path):
    program = (
        "import importlib.resources as r; print(r.files('gristmill.filters.rules').joinpath('gopher.yaml').is_file(), "
        "r.files('gristmill.corpus.languages').joinpath('language_model.npz').is_file(), r.files('gristmill.corpus'))"
    )
    told = run(installed / "python", "-c", program, cwd=tmp_path)
    assert told.startswith("True True")
    assert str(installed.parent) in told


def test_the_wheel_brings_the_notices_of_what_it_restates(installed):
    (notice,) = (installed.parent / "lib").glob("python*/site-packages/gristmill-*.dist-info/licenses/NOTICE")
    assert "spaCy" in notice.read_text()


def test_the_corpus_can_be_read_without_torch():
    program = "import sys, gristmill.corpus.store.catalog, gristmill.corpus.store.fate; print('torch' in sys.modules)"
    assert run(sys.executable, "-c", program).strip() == "False"


MAY = {
    "corpus": set(),
    "filters": {"corpus"},
    "dedup": {"corpus"},
    "training": {"corpus"},
    "proxy_models": {"training", "corpus"},
    "mixing": {"proxy_models", "training", "corpus"},
    "pipelines": {"mixing", "proxy_models", "training", "dedup", "filters", "corpus"},
}


def imported_rooms(path: Path) -> set[str]:
    """Top-level folders that a module imports from, relatively or by the package's name, at its top or inside."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = [*base, *(node.module or "").split(".")] if node.module else [*base]
            found |= {target[0]} if target else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gristmill":
            found |= {(node.module or "").split(".")[1]} if "." in (node.module or "") else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("gristmill.")}
    return found


def test_no_module_of_any_room_imports_from_a_folder_above_it():
    climbing = [
        f"{path.relative_to(ROOT)}: {name}"
        for room, allowed in MAY.items()
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in sorted(imported_rooms(path) & (set(MAY) - allowed - {room}))
    ]
    assert climbing == []


def modules() -> dict[str, Path]:
    """Dotted name below `gristmill` -> file, of every module of every room."""
    paths = {path.relative_to(ROOT).with_suffix("").parts: path for path in sources()}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in paths.items()}


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that one imports, at its top, inside a function or for types alone."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            whole = ".".join(part for part in base if part)
            found |= {f"{whole}.{each.name}" if f"{whole}.{each.name}" in known else whole for each in node.names}
    return found & set(known) - {name}


def test_no_module_imports_another_in_a_circle_not_even_late_or_for_its_types():
    known = modules()
    left = {name: imported(name, path, known) for name, path in known.items()}
    assert sum(map(len, left.values())) > 1000
    while free := {name for name, needs in left.items() if not needs}:
        left = {name: needs - free for name, needs in left.items() if name not in free}
    assert left == {}


TRITON = "proxy_models.fleets.gpu_kernels"  # what is compiled for a GPU


def test_every_module_imports():
    there = [name for name in modules() if name != TRITON or importlib.util.find_spec("triton")]
    loaded = [importlib.import_module(f"gristmill.{name}").__name__ for name in there]
    assert len(set(loaded)) == len(there)
    assert TRITON in modules()


def test_the_wheel_brings_every_package_there_is():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {
        ".".join(("gristmill", *path.parent.relative_to(ROOT).parts))
        for room in MAY
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert there | {"gristmill"} == listed


def declared() -> tuple[set[str], dict[str, set[str]]]:
    """Distributions that the core needs, and those of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}

    return names(project["dependencies"]), {n: names(r) for n, r in project["optional-dependencies"].items()}


def sources() -> list[Path]:
    rooms = ("corpus", "filters", "dedup", "training", "proxy_models", "mixing", "pipelines")
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_library_that_is_imported_is_declared():
    core, extras = declared()
    known = core | set().union(*extras.values()) | {"triton"}  # torch's builds for GPUs bring it
    bring = importlib.metadata.packages_distributions()
    missing = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for module in {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names):
                owners = {name.lower().replace("_", "-") for name in bring.get(module, [module])}
                if not owners & known:
                    missing.add(f"{path.relative_to(ROOT)}: {module}")
    assert sorted(missing) == []


def test_every_extra_that_an_error_names_exists():
    _, extras = declared()
    named = {
        match for path in sources() for match in re.findall(r'MissingExtra\([^)]*, "([a-z]+)"\)', path.read_text())
    }
    assert named
    assert named <= set(extras)
