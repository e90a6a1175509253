"""How stages are run again as they were asked for: what a record names under `replay`, else what follows from the rest.

A stage that names nothing is run again by the call that the commit of its decisions, or of its first table, holds; one
that makes nothing from documents that could be rebuilt names an empty tuple.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ...corpus.store.calls import Call, asked_again
from ...corpus.store.workspace import Workspace
from .record import StageRecord
from .registry import records
from .runner import RunnerOptions


@dataclass(frozen=True)
class Again:
    """What a stage is run again with."""

    workspace: Workspace
    call: Call | None
    options: RunnerOptions
    quiet: bool

    def settings(self, model: type[BaseModel]) -> Any:
        """The settings that it was asked for with. WorkspaceError where what they name is gone or another."""
        return asked_again(self.call, model, self.workspace.url)

    def run(self, work: Any, model: type[BaseModel]) -> None:
        """Run a `Stage`, or a function of (workspace, settings, runner options, force=, quiet=), with them."""
        from .stage import run_stage

        settings = self.settings(model)
        if callable(work):
            work(self.workspace, settings, self.options, force=True, quiet=self.quiet)
        else:
            run_stage(work, self.workspace, settings, self.options, force=True, quiet=self.quiet)


@dataclass(frozen=True)
class RecordedStage:
    """A stage: its command, the table whose manifest tells how it was asked for, how to run it again."""

    name: str
    table: str  # a folder of such tables, where it ends in a slash
    again: Callable[[Again], None]


def replays() -> list[RecordedStage]:
    """All that can be run again, in the order of the road."""
    return [one for record in records().values() for one in _of(record)]


def _of(record: StageRecord) -> list[RecordedStage]:
    if record.replay is not None:
        return [RecordedStage(record.name, table, _named(record, named)) for table, named in record.replay]
    if not record.writes or record.command is None:
        return []
    decided = [name for name in record.writes if name.startswith("decisions/")]
    return [RecordedStage(record.name, [*decided, *record.writes][0], _plainly(record))]


def _named(record: StageRecord, named: str) -> Callable[[Again], None]:
    return lambda asked: record.resolve(named)(asked)


def _plainly(record: StageRecord) -> Callable[[Again], None]:
    return lambda asked: asked.run(record.load("run"), record.load("settings"))
