"""Run again, as they were run, the deciding stages and `tokenize` after documents were removed.

Settings are read back from the manifests. Where a manifest does not hold all that a stage was called with (a list of
concepts, other workspaces, a classifier), or an input of the stage is itself out of date, the rebuilding stops there
and says which stages are left and why: nothing is rebuilt from guesses.
"""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ..corpus.fate import deciding
from ..corpus.refusal import RequestError, WorkspaceError
from ..corpus.workspace import Workspace
from .runner import RunnerOptions


class CannotRepeat(Exception):
    """A stage cannot be run as it was; the message says what is not known."""


def rebuild(workspace: Workspace, options: RunnerOptions, quiet: bool) -> tuple[list[str], dict[str, str]]:
    """(stages that were run again, stages that were not: why), both in the order of the chain."""
    stages = deciding(workspace)
    if workspace.table("tokenizer").manifest() is not None:
        stages.append("tokenize")
    done: list[str] = []
    left: dict[str, str] = {}
    for stage in stages:
        if left:
            left[stage] = f"comes after {next(iter(left))}"
            continue
        try:
            repeat = REPEATED.get(stage)
            if repeat is None:
                raise CannotRepeat("its command has to be given again")
            repeat(workspace, options, quiet)
            done.append(stage)
        except (CannotRepeat, RequestError, WorkspaceError) as error:
            left[stage] = str(error)
        except ValidationError as error:
            left[stage] = f"its recorded settings are not those of this version: {error.error_count()} differ"
    return done, left


def _settings(workspace: Workspace, table: str) -> dict[str, Any]:
    """What a table was made with, {} where it is not there."""
    manifest = workspace.table(table).manifest()
    return dict(manifest.settings) if manifest is not None else {}


def _known(model: Any, settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in model.model_fields}


def _filter(workspace: Workspace, options: RunnerOptions, quiet: bool) -> None:
    from .filter import FilterSettings, run_filter

    settings = FilterSettings(**_known(FilterSettings, _settings(workspace, "decisions/filter")))
    run_filter(workspace, settings, options, force=True, quiet=quiet)


def _dedup(workspace: Workspace, options: RunnerOptions, quiet: bool) -> None:
    from ..dedup.settings import DedupSettings, RepeatSettings
    from .dedup import deduplicate

    decided = workspace.table("decisions/dedup").finished("opt-out")
    if any(name.startswith("against/") for name in decided.inputs):
        raise CannotRepeat("it compared with other workspaces, whose addresses are not recorded")
    recorded = {**_settings(workspace, "signatures"), **decided.settings}
    cut = _settings(workspace, "edits/dedup")
    recorded["repeats"] = RepeatSettings(**_known(RepeatSettings, cut)) if cut else None
    settings = DedupSettings(**_known(DedupSettings, recorded))
    if settings.deciding() != decided.settings:
        raise CannotRepeat("its recorded settings are not all that it was called with")
    deduplicate(workspace, settings, options, force=True, quiet=quiet)


def _balance(workspace: Workspace, options: RunnerOptions, quiet: bool) -> None:
    from .balance import BalanceSettings, run_balance

    recorded = _settings(workspace, "decisions/balance")
    if recorded.get("concepts") is not None:
        raise CannotRepeat("its list of concepts is not recorded")
    run_balance(workspace, BalanceSettings(**_known(BalanceSettings, recorded)), options, force=True, quiet=quiet)


def _tokenize(workspace: Workspace, options: RunnerOptions, quiet: bool) -> None:
    from .tokenize import TokenizeSettings, tokenize

    recorded = _settings(workspace, "tokenizer")
    for table in workspace.tables():
        if table.name.startswith("tokens/"):
            recorded |= _settings(workspace, table.name)
    if "sha256" in recorded:  # one that was given: it lies in the workspace
        recorded["tokenizer"] = workspace.table("tokenizer").shard_url("tokenizer.json")
    tokenize(workspace, TokenizeSettings(**_known(TokenizeSettings, recorded)), options, force=True, quiet=quiet)


REPEATED: dict[str, Callable[[Workspace, RunnerOptions, bool], None]] = {
    "filter": _filter,
    "dedup": _dedup,
    "balance": _balance,
    "tokenize": _tokenize,
}
