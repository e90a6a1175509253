"""The whole road from one settings file: what each section must hold, and the run of the stages in their order.

A section that is absent is a stage that does not run, an empty one its defaults; the order is that of the registry,
whatever the order in the file. A finished stage is skipped, so the same command continues a killed run. Paths are
relative to the current directory; `${NAME}` is the environment variable of that name. The whole file is checked before
the first stage, to the last name in it; every mistake is one line with the file, the place and the nearest right name.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model

from ...corpus import extensions
from ...corpus.given_files import read_given
from ...corpus.plain_yaml import RepeatedKey, load_yaml
from ...corpus.planning.ledger import read_ledger
from ...corpus.readers.inputs import resolve
from ...corpus.settings import Input, truths_for_numbers
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.workspace import Workspace
from ..clusters.prices import Prices
from ..clusters.settings import Cluster, cluster_of, read_cluster
from ..clusters.values import expanded
from .invocation import Checking, Invocation
from .record import StageRecord
from .registry import records
from .runner import RunnerOptions

ROUNDS = 3  # adopted rewritings enter the corpus, and the next round changes nothing more


class RunFile(BaseModel, frozen=True, extra="forbid"):
    """What a settings file holds beside the sections of the stages."""

    workspace: str = Field(description="folder or fsspec URL that holds the tables")
    workers: int = Field(default=1, ge=1, description="local worker processes")
    cluster: dict[str, Any] | str | None = Field(
        default=None, description="the engine that runs the graphs: a cluster file, or what stands in one"
    )
    prices: Prices = Field(default=Prices(), description="what gristmill estimate counts an hour at")
    plugins: tuple[str, ...] = Field(default=(), description="Python files that add parts of their own")

    def sections(self) -> dict[str, Any]:
        """name -> settings of every stage that the file names, in run order; a tuple where there are several."""
        return {name: value for name in records() if (value := getattr(self, name)) not in (None, ())}

    def inputs(self) -> tuple[Input, ...]:
        """What `extract` reads; nothing where the file has no such section."""
        return tuple(getattr(getattr(self, "extract", None), "inputs", ()) or ())

    def engine(self) -> Cluster | None:
        """The cluster that the file names; None where it names none. RequestError where that is none."""
        if self.cluster is None:
            return None
        return read_cluster(self.cluster) if isinstance(self.cluster, str) else cluster_of(self.cluster, "cluster")


def run_model() -> type[RunFile]:
    """The model of a settings file: a section for every stage of the registry."""
    return _run_model(extensions.identity())


@lru_cache(maxsize=4)
def _run_model(identity: str) -> type[RunFile]:
    fields: dict[str, Any] = {}
    for name, record in records().items():
        section = section_model(record)
        if record.many:
            fields[name] = (tuple[section, ...], Field(default=(), description=record.title))
        else:
            fields[name] = (section | None, Field(default=None, description=record.title))
    return create_model("RunSettings", __base__=RunFile, **fields)  # type: ignore[call-overload]


def section_model(record: StageRecord) -> type[BaseModel]:
    """The settings of a stage, with those options of its command that a file may state."""
    model, options = record.load("settings"), record.load("options")
    extra = {
        name: (field.annotation, field)
        for name, field in (options.model_fields if options is not None else {}).items()
        if isinstance(field.json_schema_extra, dict) and "section" in str(field.json_schema_extra.get("cli", {}))
    }
    if not extra:
        return model
    return create_model(model.__name__.replace("Settings", "Section"), __base__=model, **extra)  # type: ignore[call-overload]


def invocation_of(
    record: StageRecord, workspace: Workspace, section: Any, options: RunnerOptions, force: bool, quiet: bool
) -> Invocation:
    """A section as its stage is asked to run it."""
    model, extra = record.load("settings"), record.load("options")
    beside = None
    settings = section
    if extra is not None:
        named = {name: getattr(section, name) for name in extra.model_fields if name in section_names(record)}
        beside = extra(**named)
        if named:
            settings = model.model_validate(section.model_dump(exclude=set(named)))
    return Invocation(record, workspace, lambda: settings, beside, options, force, quiet)


def section_names(record: StageRecord) -> set[str]:
    """Fields of the section that are options of the command and no settings."""
    return set(section_model(record).model_fields) - set(record.load("settings").model_fields)


def run(
    settings: RunFile, options: RunnerOptions | None = None, force: bool = False, quiet: bool = False
) -> Iterator[dict[str, Any]]:
    """Run every stage that the settings name, in order; yield each one's summary as it ends.

    RequestError, before anything runs, for everything that the records' checks refuse, all of it together.
    """
    workspace = Workspace(settings.workspace)
    sections = settings.sections()
    check(sections, workspace)
    workspace.create()
    options = options or RunnerOptions(workers=settings.workers, cluster=settings.engine())
    steps = list(calls(sections, workspace, options, force, quiet))
    for round_number in range(ROUNDS):
        restart = False
        for step in steps:
            before = _documents(workspace)
            yield from step.summaries()
            if step.record.name == "rewrite" and _documents(workspace) != before and round_number + 1 < ROUNDS:
                restart = True  # adopted documents take the road from its beginning
                break
        if not restart:
            return


def _documents(workspace: Workspace) -> str | None:
    manifest = workspace.table("documents").manifest()
    return manifest.fingerprint if manifest is not None else None


def calls(
    sections: Mapping[str, Any], workspace: Workspace, options: RunnerOptions, force: bool, quiet: bool
) -> Iterator[Invocation]:
    """One invocation for every entry of every section, in run order."""
    for name, record in records().items():
        if name in sections:
            given = sections[name]
            for section in given if isinstance(given, tuple) else (given,):
                yield invocation_of(record, workspace, section, options, force, quiet)


def check(sections: Mapping[str, Any], workspace: Workspace) -> None:
    """Ask every record's check. RequestError with one line for every section that is refused."""
    mistakes: list[str] = []
    for name, given in sections.items():
        examine = records()[name].load("check")
        if examine is None:
            continue
        for number, section in enumerate(given if isinstance(given, tuple) else (given,)):
            place = f"{name}.{number}" if isinstance(given, tuple) else name
            try:
                examine(Checking(section, workspace, dict(sections)))
            except RequestError as error:
                mistakes.append(f"{place}: {error}")
            except OSError as error:
                mistakes.append(f"{place}: {error}")
    if mistakes:
        raise RequestError("\n".join(mistakes))


def left_out(settings: RunFile) -> list[str]:
    """What the workspace holds and the file does not name: stages that decide, and inputs. It stays in force."""
    workspace = Workspace(settings.workspace)
    asked = Checking(None, workspace, settings.sections())
    there = asked.tables
    said = []
    for name, record in records().items():
        if record.decides and name not in asked.sections and f"decisions/{name}" in there:
            said.append(
                f"the workspace holds the decisions of {name}, which the file does not name; they stay in force"
            )
    if "rewrites" in there and "rewrite" not in asked.sections:
        said.append("the workspace holds rewritten documents of rewrite, which the file does not name")
    extracting = asked.sections.get("extract")
    if extracting is not None and extracting.inputs and "documents" in there:
        named = {source.place for source in resolve(extracting.inputs)}
        inside = workspace.url + "/"
        gone = sorted(
            file.place or file.path for file in read_ledger(workspace).files
            if file.place not in named and not file.place.startswith(inside)
        )  # fmt: skip
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            said.append(
                f"the workspace holds documents of {', '.join(gone[:3])}{more}, which the file does not name; "
                f"they stay in the corpus"
            )
    return said


# ---- reading a file


def load_settings(path: str | Path) -> RunFile:
    """Read a settings file. RequestError for a missing file, YAML that is none, and every key or value that is off."""
    values = parsed(read_given(str(path)), str(path))
    values = {name: {} if value is None and name in records() else value for name, value in values.items()}
    mistakes: list[str] = []
    values = expanded(values, (), mistakes)
    if mistakes:
        raise RequestError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    plugins = values.get("plugins")
    if isinstance(plugins, list) and all(isinstance(plugin, str) for plugin in plugins):
        extensions.add_plugins(plugins)
    truths = [f"{path}: {place}: true or false is no number" for place in truths_for_numbers(run_model(), values)]
    if truths:
        raise RequestError("\n".join(truths))
    try:
        found = run_model().model_validate(values)
    except ValidationError as error:
        raise RequestError("\n".join(complaints(error, str(path)))) from error
    found.engine()  # refuses it before anything runs
    return found


def parsed(text: str, path: str) -> dict[str, Any]:
    """A settings file as values. RequestError for text that is no YAML, no mapping, or says a key twice."""
    try:
        values = load_yaml(text)
    except RepeatedKey as error:
        raise RequestError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise RequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise RequestError(f"{path}: a settings file is a mapping of {', '.join(run_model().model_fields)}")
    return {str(name): value for name, value in values.items()}


def complaints(error: ValidationError, path: str) -> Iterator[str]:
    """One line per mistake: the place in the file, what is wrong, and the nearest key where one was misspelt."""
    for mistake in error.errors():
        place = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = keys(run_model(), mistake["loc"][:-1])
            yield str(unknown_name("setting", str(mistake["loc"][-1]), known, where=f"{path}: {place}"))
        elif mistake["type"] == "missing":
            yield f"{path}: {place} is missing"
        else:
            yield f"{path}: {place}: {mistake['msg']}, not {mistake['input']!r}"


def keys(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the settings, for the message about one that is not."""
    here: Any = model
    for part in place:
        if isinstance(part, str) and hasattr(here, "model_fields") and part in here.model_fields:
            here = here.model_fields[part].annotation
        options = [here, *getattr(here, "__args__", ())]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        here = models[0] if models else here
    return sorted(getattr(here, "model_fields", {}))
