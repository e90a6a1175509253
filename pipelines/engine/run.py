"""The whole road from one settings file: the order of the stages, and what each section of the file must hold.

A section that is absent is a stage that does not run; the order is fixed, whatever the order in the file. A finished
stage is skipped, so the same command continues a killed run. Paths are relative to the current directory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ...corpus.readers.inputs import resolve
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.workspace import Workspace
from ...dedup.settings import DedupSettings, SemanticSettings
from ...filters.decontamination import read_examples
from ...filters.rule_sets import compiled, load_rules
from ...mixing.exporters.frame import Job
from ...mixing.exporters.registry import export_recipe
from ...mixing.recipe import load_recipe
from ...proxy_models.scoring.scorers import ScoreSettings
from ..report.page import ReportSettings, write_report
from ..stages.balance import BalanceSettings, load_concepts, run_balance
from ..stages.decontaminate.stage import DecontaminateSettings, decontaminate
from ..stages.dedup.stage import deduplicate
from ..stages.extract import EXTRACT, ExtractSettings
from ..stages.filter import FilterSettings, run_filter
from ..stages.mix.ladder import LadderSettings, ladder
from ..stages.mix.stage import MixSettings, mix
from ..stages.refilter import RefilterSettings, refilter
from ..stages.refine import REFINE, RefineSettings
from ..stages.score import score
from ..stages.select import SelectSettings, select
from ..stages.semantic.stage import semantic
from ..stages.tag.stage import TagSettings, run_tag
from ..stages.tokenize import TokenizeSettings, tokenize
from ..stages.train.stage import TrainSettings, train
from .runner import RunnerOptions
from .stage import Stage, run_stage


class ExportSection(BaseModel, frozen=True, extra="forbid"):
    """One trainer to export the recipe to."""

    to: str
    output: str
    recipe: str | None = None  # default: the workspace's own
    data: bool = True  # write the token or text files too
    batch: int = 256
    dialect: str | None = None


class RunSettings(BaseModel, frozen=True, extra="forbid"):
    """A settings file."""

    workspace: str
    workers: int = 1
    extract: ExtractSettings | None = None
    filter: FilterSettings | None = None
    refine: RefineSettings | None = None
    decontaminate: DecontaminateSettings | None = None
    dedup: DedupSettings | None = None
    semantic: SemanticSettings | None = None
    refilter: RefilterSettings | None = None
    tag: TagSettings | None = None
    balance: BalanceSettings | None = None
    score: tuple[ScoreSettings, ...] = ()
    select: SelectSettings | None = None
    tokenize: TokenizeSettings | None = None
    ladder: LadderSettings | None = None
    mix: MixSettings | None = None
    train: TrainSettings | None = None
    export: tuple[ExportSection, ...] = ()
    report: ReportSettings | None = None


@dataclass(frozen=True)
class Call:
    """What a step is called with."""

    workspace: Workspace
    settings: Any
    options: RunnerOptions
    force: bool
    quiet: bool


def _function(function: Callable[..., dict[str, Any]]) -> Callable[[Call], dict[str, Any]]:
    return lambda call: function(call.workspace, call.settings, call.options, force=call.force, quiet=call.quiet)


def _stage(stage: Stage) -> Callable[[Call], dict[str, Any]]:
    return lambda call: run_stage(stage, call.workspace, call.settings, call.options, call.force, call.quiet)


def _train(call: Call) -> dict[str, Any]:
    card = train(call.workspace, call.settings, force=call.force, quiet=call.quiet)
    return {"stage": "train", "details": card}


def _export(call: Call) -> dict[str, Any]:
    section: ExportSection = call.settings
    recipe = load_recipe(section.recipe or call.workspace.path("mixture", "recipe.yaml"))
    data = call.workspace if section.data else None
    made = export_recipe(section.to, Job(recipe, section.output, data, batch=section.batch, dialect=section.dialect))
    return {"stage": f"export to {section.to}", "details": made.told()}


def _report(call: Call) -> dict[str, Any]:
    return {"stage": "report", "details": write_report(call.workspace, call.settings)}


STEPS: dict[str, Callable[[Call], dict[str, Any]]] = {
    "extract": _stage(EXTRACT),
    "filter": _function(run_filter),
    "refine": _stage(REFINE),
    "decontaminate": _stage(decontaminate),
    "dedup": _function(deduplicate),
    "semantic": _function(semantic),
    "refilter": _function(refilter),
    "tag": _function(run_tag),
    "balance": _function(run_balance),
    "score": _function(score),
    "select": _stage(select),
    "tokenize": _function(tokenize),
    "ladder": _stage(ladder),
    "mix": _stage(mix),
    "train": _train,
    "export": _export,
    "report": _report,
}


def run(
    settings: RunSettings, options: RunnerOptions | None = None, force: bool = False, quiet: bool = False
) -> Iterator[dict[str, Any]]:
    """Run every stage that the settings name, in order; yield each one's summary as it ends.

    RequestError, before anything runs, for inputs that are not there, rules that name no signal, evaluation sets and
    concepts that cannot be read, and a score without what its method needs.
    """
    if settings.extract is not None:
        resolve(settings.extract.inputs)
    if settings.filter is not None:
        known = settings.filter.known(Workspace(settings.workspace))
        given = settings.filter.rules
        compiled(load_rules(given), where=given if isinstance(given, str) else "", families=known)
    for path in settings.decontaminate.sets.values() if settings.decontaminate is not None else ():
        read_examples(path)
    if settings.balance is not None and settings.balance.concepts is not None:
        load_concepts(settings.balance.concepts)
    for one in (settings.dedup, settings.semantic, settings.refilter):
        if one is not None:
            one.check()
    for scoring in settings.score:
        scoring.checked()
    workspace = Workspace(settings.workspace)
    workspace.create()
    options = options or RunnerOptions(workers=settings.workers)
    for name, step in STEPS.items():
        section = getattr(settings, name)
        for one in section if isinstance(section, tuple) else (section,):
            if one is not None:
                yield step(Call(workspace, one, options, force, quiet))


def load_settings(path: str | Path) -> RunSettings:
    """Read a settings file. RequestError for a missing file, YAML that is none, and every key or value that is off."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise RequestError(f"{path}: a settings file is a mapping of {', '.join(RunSettings.model_fields)}")
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise RequestError("\n".join(_complaints(error, str(path)))) from error


def _complaints(error: ValidationError, path: str) -> Iterator[str]:
    """One line per mistake: the place in the file, what is wrong, and the nearest key where one was misspelt."""
    for mistake in error.errors():
        place = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = _keys(RunSettings, mistake["loc"][:-1])
            yield str(unknown_name("setting", str(mistake["loc"][-1]), known, where=f"{path}: {place}"))
        else:
            yield f"{path}: {place}: {mistake['msg']}, not {mistake['input']!r}"


def _keys(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the settings, for the message about one that is not."""
    here: Any = model
    for part in place:
        if isinstance(part, str) and hasattr(here, "model_fields") and part in here.model_fields:
            here = here.model_fields[part].annotation
        options = [here, *getattr(here, "__args__", ())]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        here = models[0] if models else here
    return sorted(getattr(here, "model_fields", {}))
