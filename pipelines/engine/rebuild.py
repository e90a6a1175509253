"""Run again, as they were asked for, all stages that made something from documents, after some were removed.

Each commit holds the call that it was made by, and stays in force until its stage has run again: a rebuilding that was
killed is completed by the next one. Where a stage cannot be run as it was, because a file that it was given is gone or
was changed, it and the stages that follow it are left, with the reason: nothing is rebuilt from guesses. Fitted
artefacts are fitted again where text must be forgotten. At last every table is searched for the documents that should
be gone.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from ...corpus.store.calls import Call, asked_again
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.fate import BEFORE
from ...corpus.store.shards import filesystem, read_batches
from ...corpus.store.soundness import opened
from ...corpus.store.workspace import Table, Workspace
from .runner import RunnerOptions

SETTLED = 3  # rounds; rewritten documents enter the corpus again, and the second round changes nothing more


@dataclass(frozen=True)
class Again:
    """What a stage is run again with."""

    workspace: Workspace
    call: Call | None
    options: RunnerOptions
    quiet: bool

    def settings(self, model: type[BaseModel]) -> Any:
        return asked_again(self.call, model, self.workspace.url)


def follows(workspace: Workspace) -> list[str]:
    """The stages that `rebuild` would run, in the order of the road."""
    there = [table.name for table in workspace.tables()]
    return list(dict.fromkeys(step.name for step in STEPS if any(_tells(step, name) for name in there)))


def rebuild(
    workspace: Workspace, options: RunnerOptions, quiet: bool, needed_by: str = "opt-out", refit: bool = True
) -> tuple[list[str], dict[str, str]]:
    """(stages that were run again, stages that were not: why), both in the order of the road. `refit` fits artefacts
    anew, too."""
    options = replace(options, refit=refit)
    done: list[str] = []
    left: dict[str, str] = {}
    for _ in range(SETTLED):
        before = workspace.table(BEFORE).finished(needed_by).fingerprint
        left.clear()  # what could not be run because documents changed meanwhile is run in the next round
        for step in STEPS:
            calls = [table.finished(needed_by).call for table in workspace.tables() if _tells(step, table.name)]
            for call in sorted(calls, key=_depth):
                _repeat(step, Again(workspace, call, options, quiet), done, left)
        if workspace.table(BEFORE).finished(needed_by).fingerprint == before:
            break
    return [name for name in dict.fromkeys(done) if name not in left], left


def _repeat(step: "Step", again: Again, done: list[str], left: dict[str, str]) -> None:
    """Run one stage again, or note why not."""
    if left:
        left.setdefault(step.name, f"comes after {next(iter(left))}")
        return
    try:
        step.again(again)
        done.append(step.name)
    except ValidationError as error:
        left[step.name] = f"its recorded settings are not those of this version: {error.error_count()} differ"
    except (RequestError, WorkspaceError) as error:
        left[step.name] = str(error)


def _tells(step: "Step", table: str) -> bool:
    return table == step.table or (step.table.endswith("/") and table.startswith(step.table))


def _depth(call: Call | None) -> bool:
    """Scores by models of other scores come after these."""
    return "{workspace}/proxies/" in json.dumps(call.settings if call else {})


def holding(workspace: Workspace, gone: pa.Array) -> dict[str, int]:
    """Tables that still hold documents of these ids, under whatever name, with how many rows do."""
    found: dict[str, int] = {}
    for table in workspace.tables():
        rows = sum(_held(table, gone)) if table.name != "removed" else 0
        if rows:
            found[table.name] = rows
    return found


IDS = ("id", "parent", "duplicate_of")  # columns that name documents


def _held(table: Table, gone: pa.Array) -> Iterator[int]:
    for shard in table.finished("opt-out").shards:
        url = table.file_url(shard)
        if shard.name.endswith(".arrow"):
            batches = _arrow(url)
        elif shard.name.endswith(".parquet"):
            batches = read_batches(url)
        else:
            continue
        for batch in batches:
            for name in IDS:
                if name in batch.schema.names and pa.types.is_string(batch.schema.field(name).type):
                    yield pc.sum(pc.is_in(batch[name], value_set=gone)).as_py() or 0


def _arrow(url: str) -> Iterator[pa.RecordBatch]:
    with opened(*filesystem(url)) as file, pa.ipc.open_file(file) as reader:
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


# ---- the stages


def _measure(again: Again) -> None:
    from ..stages.filter.stage import MeasureSettings, measure_stage
    from .stage import run_stage

    own = again.settings(MeasureSettings)
    run_stage(
        measure_stage(own.families, own.known(again.workspace)), again.workspace, own, again.options, True, again.quiet
    )


def _filter(again: Again) -> None:
    from ..stages.filter.stage import DecideSettings, FilterSettings, run_filter

    asked = again.settings(DecideSettings)
    settings = FilterSettings(**{name: getattr(asked, name) for name in DecideSettings.model_fields})
    run_filter(again.workspace, settings, again.options, force=True, quiet=again.quiet)


def _refine(again: Again) -> None:
    from ..stages.refine.stage import REFINE, RefineSettings

    _run(again, REFINE, RefineSettings)


def _decontaminate(again: Again) -> None:
    from ..stages.decontaminate.stage import DecontaminateSettings, decontaminate

    _run(again, decontaminate, DecontaminateSettings)


def _exposure(again: Again) -> None:
    from ..stages.decontaminate.exposure import ExposureSettings, exposure

    _run(again, exposure, ExposureSettings)


def _dedup(again: Again) -> None:
    from ...dedup.settings import DedupSettings
    from ..stages.dedup.stage import deduplicate

    deduplicate(again.workspace, again.settings(DedupSettings), again.options, force=True, quiet=again.quiet)


def _embed(again: Again) -> None:
    from ..stages.semantic.embeddings import EMBED, EmbedSettings

    _run(again, EMBED, EmbedSettings)


def _semantic(again: Again) -> None:
    from ...dedup.settings import SemanticSettings
    from ..stages.semantic.stage import semantic

    semantic(again.workspace, again.settings(SemanticSettings), again.options, force=True, quiet=again.quiet)


def _refilter(again: Again) -> None:
    from ..stages.refilter.stage import MEASURE, REFILTER, RefilterCall

    _run(again, MEASURE, RefilterCall)
    _run(again, REFILTER, RefilterCall)


def _label(again: Again) -> None:
    from ..stages.tag.lessons import LABEL, LabelSettings

    _run(again, LABEL, LabelSettings)


def _learn(again: Again) -> None:
    from ..stages.tag.lessons import LEARN, LearnSettings

    _run(again, LEARN, LearnSettings)


def _cluster(again: Again) -> None:
    from ..stages.tag.lessons import CLUSTER, ClusterSettings

    _run(again, CLUSTER, ClusterSettings)


def _tag(again: Again) -> None:
    from ..stages.tag.stage import TAGS, ApplySettings, tag_stage
    from .stage import run_stage

    settings = again.settings(ApplySettings)
    run_stage(TAGS, again.workspace, settings, again.options, True, again.quiet)
    run_stage(tag_stage(settings), again.workspace, settings, again.options, True, again.quiet)


def _balance(again: Again) -> None:
    from ..stages.balance.stage import BalanceSettings, run_balance

    run_balance(again.workspace, again.settings(BalanceSettings), again.options, force=True, quiet=again.quiet)


def _score(again: Again) -> None:
    from ...proxy_models.scoring.scorers import ScoreSettings
    from ..stages.score.stage import score

    score(again.workspace, again.settings(ScoreSettings), again.options, force=True, quiet=again.quiet)


def _select(again: Again) -> None:
    from ..stages.select.stage import SelectSettings, select

    _run(again, select, SelectSettings)


def _rewrite(again: Again) -> None:
    from ..stages.rewrite.stage import RewriteSettings, adopt, adopted, run_rewrite

    run_rewrite(again.workspace, again.settings(RewriteSettings), again.options, force=True, quiet=again.quiet)
    if adopted(again.workspace):
        adopt(again.workspace, again.options, quiet=again.quiet)


def _tokenize(again: Again) -> None:
    from ..stages.tokenize.stage import TokenizeSettings, tokenize

    tokenize(again.workspace, again.settings(TokenizeSettings), again.options, force=True, quiet=again.quiet)


def _run(again: Again, stage: Any, model: type[BaseModel]) -> None:
    from .stage import run_stage

    run_stage(stage, again.workspace, again.settings(model), again.options, force=True, quiet=again.quiet)


@dataclass(frozen=True)
class Step:
    """A stage: its command, the table whose manifest tells how it was asked for, how to run it again."""

    name: str
    table: str  # a folder of such tables, where it ends in a slash
    again: Callable[[Again], None]


STEPS = (
    Step("filter", "signals/", _measure),
    Step("filter", "decisions/filter", _filter),
    Step("refine", "decisions/refine", _refine),
    Step("decontaminate", "decisions/decontaminate", _decontaminate),
    Step("decontaminate", "contamination_audit", _exposure),
    Step("dedup", "decisions/dedup", _dedup),
    Step("semantic", "embeddings", _embed),
    Step("semantic", "decisions/semantic", _semantic),
    Step("refilter", "decisions/refilter", _refilter),
    Step("tag", "labels", _label),
    Step("tag", "labellers", _learn),
    Step("tag", "clusters", _cluster),
    Step("tag", "decisions/tag", _tag),
    Step("balance", "decisions/balance", _balance),
    Step("score", "scores/", _score),
    Step("select", "decisions/select", _select),
    Step("rewrite", "rewrites", _rewrite),
    Step("tokenize", "tokenizer", _tokenize),
)
