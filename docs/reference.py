"""Write the pages of the reference from the program itself: commands, settings, parts, tables. Nothing is written by
hand, so that nothing can be out of date; a description that is missing in the program is missing here."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from tables import TABLES
from typer.main import get_command

from gristmill.calls import methods
from gristmill.filters.rule_sets import bundled, load_rules
from gristmill.filters.signals.definitions import DEFINITIONS
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.cli import command_names, load_command
from gristmill.pipelines.clusters.settings import KINDS
from gristmill.pipelines.engine.listing import listed
from gristmill.pipelines.engine.record import StageRecord
from gristmill.pipelines.engine.registry import records


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def code(value: object) -> str:
    return f"`{value}`" if value not in (None, "") else ""


def commands() -> str:
    """Every command with its help, as the terminal shows it."""
    parts = ["# Commands\n\nEvery command prints this with `--help`. What stands behind `--` goes to Beam.\n"]
    for name in command_names():
        loaded = load_command(name)
        if isinstance(loaded, typer.Typer):
            app = loaded
        else:
            app = typer.Typer(rich_markup_mode=None)
            app.command(name)(loaded)
        parts += helped(get_command(app), f"gristmill {name}")
    return "\n".join(parts)


def helped(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(path.split()[-1], [], resilient_parsing=True)
    context.info_name, context.max_content_width, context.terminal_width = path, 100, 100
    yield f"## {path}\n\n```{{code-block}} none\n{command.get_help(context).strip()}\n```\n"
    for name, inner in getattr(command, "commands", {}).items():
        yield from helped(inner, f"{path} {name}")


def settings() -> str:
    """Every section of a settings file, with its fields."""
    parts = [
        "# Settings\n\nThe sections of a settings file, which `gristmill run FILE` reads, and their fields. A dot "
        "leads into a section within a section. An empty section means its defaults, `${VAR}` stands for a variable "
        "of the environment, and a file is checked whole before anything runs.\n"
    ]
    for name, record in records().items():
        model = record.load("settings")
        if model is None:
            continue
        parts.append(f"## {name}\n\n{record.title}\n")
        parts.append(table(("field", "type", "default", "what it says"), fields(model)))
    parts.append(
        "## Cluster files\n\nA file for `--cluster`, or the section `cluster` of a settings file: a `kind`, and the "
        "fields of that kind.\n"
    )
    for model in dict.fromkeys(KINDS.values()):
        kinds = ", ".join(f"`{kind}`" for kind, own in KINDS.items() if own is model)
        parts.append(f"### {kinds}\n\n{inspect.cleandoc(model.__doc__ or '')}\n")
        parts.append(table(("field", "type", "default", "what it says"), fields(model)))
    return "\n".join(parts)


def fields(model: type[BaseModel], above: str = "", seen: tuple[type, ...] = ()) -> Iterator[tuple[str, ...]]:
    """A row for each field, and for the fields of the models within."""
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else code(short(field.get_default(call_default_factory=True)))
        yield code(above + name), code(type_name(field.annotation)), default, field.description or ""
        for inner in models_in(field.annotation):
            if inner not in (*seen, model):
                yield from fields(inner, f"{above}{name}.", (*seen, model))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in getattr(annotation, "__args__", ()) for model in models_in(one)]


def type_name(annotation: Any) -> str:
    """A type as a reader says it: `int or null`, not `int | None`."""
    if hasattr(annotation, "__metadata__"):  # Annotated
        return type_name(annotation.__origin__)
    if annotation is type(None):
        return "null"
    if inspect.isclass(annotation) and not getattr(annotation, "__args__", ()):
        return "section" if issubclass(annotation, BaseModel) else annotation.__name__
    parts = [type_name(one) if one is not Ellipsis else "..." for one in getattr(annotation, "__args__", ())]
    origin = getattr(getattr(annotation, "__origin__", None), "__name__", "")
    if origin == "Literal":
        return " or ".join(repr(one) for one in annotation.__args__)
    if not parts:
        return repr(annotation)
    if origin in ("", "Union", "Annotated"):
        return " or ".join(dict.fromkeys(parts))
    return f"{origin}[{', '.join(parts)}]"


def short(value: object) -> object:
    """A default as YAML has it."""
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, (bool, type(None))):
        return {None: "null", True: "true", False: "false"}[value]
    return value


def parts() -> str:
    """Signals, rule sets, scores, exporters, readers and stages, as `gristmill list` names them."""
    about = {
        "stages": "What runs, in this order.",
        "signals": "Families of measurements and their columns. The formula of each is on [its own page](signals.md).",
        "rules": "Rule sets that come along.",
        "scores": "What `gristmill score` computes; a larger score is better.",
        "exporters": "Trainers whose form `gristmill recipe export --to` writes.",
        "readers": "Forms of input and their suffixes.",
    }
    pieces = ["# Parts\n\nWhat there is to choose from. `gristmill list` prints the same, with what plug-ins add.\n"]
    for what, sentence in about.items():
        rows = ((code(name), told) for name, told in listed(what).items())
        pieces.append(f"## {what}\n\n{sentence}\n\n{table((what[:-1], 'about'), rows)}")
    return "\n".join(pieces)


def rules() -> str:
    """Every rule of every bundled set, with its threshold."""
    pieces = [
        "# Rule sets\n\nA document is dropped by the first rule of which `keep` is not true. A null never passes.\n"
    ]
    for name in bundled():
        chosen = load_rules(name)
        rows = ((rule.rule, code(rule.value), code(rule.threshold), code(rule.keep)) for rule in chosen.rules)
        pieces.append(f"## {name}\n\n{chosen.about}\n\n{table(('rule', 'value', 'threshold', 'keep'), rows)}")
    return "\n".join(pieces)


def signals() -> str:
    """Every signal: the source of its family, and the formula of each column."""
    pieces = [
        "# Signals\n\nA family of signals is one struct column of the view `signals`, and a signal is a field of it: "
        '`s."gopher@paper".word_count`. In a formula `a / b` is a ratio. It is null where b is zero, and every signal '
        "of a text that is null is null. A family's version rises when the same text gives another value.\n"
    ]
    for name, family in FAMILIES.items():
        told = DEFINITIONS[name]
        rows = ((code(one.name), code(one.type), told.columns.get(one.name, "")) for one in family.type)
        if "*" in told.columns:
            names = ", ".join(code(one.name) for one in family.type)
            rows = iter([(names, code(family.type[0].type), told.columns["*"])])
        head = f"## {name}\n\n**Source:** {told.source}. Version {family.version}.\n\n{told.pieces}\n"
        pieces.append(f"{head}\n{table(('column', 'type', 'formula'), rows)}")
    return "\n".join(pieces)


def tables() -> str:
    """The tables of a workspace: who writes and reads them, and their columns."""
    pieces = [
        "# Tables\n\nA workspace is a folder of tables: Parquet, keyed by `id`, and Arrow for tokens. A name that ends "
        "with a slash is a folder of tables, such as one for each stage that decides.\n"
    ]
    rows = [
        (code(name), f"written by {written_by(found)}", f"read by {readers}" if (readers := read_by(name)) else "")
        for name, found in sorted(writers().items())
    ]
    pieces.append(table(("table", "by whom", "for whom"), rows))
    for one in TABLES:
        columns = ((code(name), code(kind), said) for name, kind, said in one.rows())
        pieces.append(f"## {one.name}\n\n{one.about}\n\n{table(('column', 'type', 'what it is'), columns)}")
    pieces.append(
        "## Tables whose columns are yours\n\n`columns/` holds the columns that documents came with, as they came. "
        "`signals/` holds a table for each family, see [Signals](signals.md). `scores/` holds a table for each method, "
        "`embeddings` a vector of 32-bit floats for each document, `runs/` the metrics and checkpoints of training.\n"
    )
    return "\n".join(pieces)


def writers() -> dict[str, list[StageRecord]]:
    found: dict[str, list[StageRecord]] = {}
    for record in records().values():
        for name in record.writes:
            found.setdefault(name, []).append(record)
    return found


def written_by(found: list[StageRecord]) -> str:
    return ", ".join(record.name for record in found)


def read_by(name: str) -> str:
    return ", ".join(record.name for record in records().values() if name in record.reads)


INDEX = """# Reference

Written from the program at each build.

```{toctree}
:maxdepth: 1

commands
settings
parts
signals
rules
tables
library
```
"""
LIBRARY = """# The library

`import gristmill as gm` loads nothing heavy before it is used.

```{eval-rst}
.. automodule:: gristmill
.. autoclass:: gristmill.Workspace
   :members:
.. autoclass:: gristmill.Documents
   :members:
.. autoclass:: gristmill.Result
   :members:
.. autoclass:: gristmill.Recipe
   :members:
.. autofunction:: gristmill.extract
.. autofunction:: gristmill.language
.. autofunction:: gristmill.pii
.. autofunction:: gristmill.signals
.. autofunction:: gristmill.decide
.. autofunction:: gristmill.duplicates
.. autofunction:: gristmill.fit_mixture
```

## A method for each command

A workspace has a method for each stage, made from its record. It takes the fields of the [settings](settings.md) as
keyword arguments, and `force`, `refit`, `keep_generations` and `workers` beside them.

"""


def library() -> str:
    """The public face from its docstrings, and the methods that are made from records."""
    rows = ((code(f"ws.{name}(...)"), record.title, code(record.example)) for name, record in methods().items())
    return LIBRARY + table(("method", "what it does", "on the command line"), rows)


def write_reference(folder: Path) -> None:
    """Write every page of the reference into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"index": INDEX, "library": library(), "commands": commands(), "settings": settings(), "parts": parts(),
             "signals": signals(), "rules": rules(), "tables": tables()}  # fmt: skip
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_reference(Path(__file__).parent / "reference")
