"""How a stage is asked to run, from the command line or a settings file: what its hooks are given.

Imports neither Beam nor Arrow by itself.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ...corpus.store.errors import RequestError

if TYPE_CHECKING:
    from ...corpus.store.workspace import Workspace
    from .record import StageRecord
    from .runner import RunnerOptions


@dataclass(frozen=True)
class Invocation:
    """One stage asked for.

    settings  gives the settings; a RequestError where they are incomplete
    given     the settings as they were asked for, unchecked
    options   what the command takes beside them; None where the record names none
    """

    record: "StageRecord"
    workspace: "Workspace"
    settings: Callable[[], Any]
    options: Any
    runner: "RunnerOptions"
    force: bool = False
    quiet: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)
    library: bool = False  # called by a program, which takes what is returned instead of what is printed

    def run(self) -> dict[str, Any]:
        """Run what the record names under `run`. The summary."""
        return self.run_with(self.record.load("run"), self.settings())

    def run_with(self, work: Any, settings: BaseModel, **more: Any) -> dict[str, Any]:
        """Run a `Stage`, or a function of (workspace, settings, runner options, force=, quiet=)."""
        if callable(work):
            from ...corpus.store.catalog import one_refresh

            with one_refresh(self.workspace):
                summary: Any = work(self.workspace, settings, self.runner, force=self.force, quiet=self.quiet, **more)
            return summary
        from .stage import run_stage

        return run_stage(work, self.workspace, settings, self.runner, force=self.force, quiet=self.quiet)

    def summaries(self) -> Iterator[dict[str, Any]]:
        """Run it as its record says. One summary for each thing that it did; none where it only answered.

        With `force`, damaged commits of its own count as absent, so that it can make them anew.
        """
        from ...corpus.store.commits import setting_aside

        act = self.record.load("act")
        with setting_aside(self.workspace.url, self.record.words or self.record.name) if self.force else nullcontext():
            yield from act(self) if act is not None else [self.run()]


@dataclass(frozen=True)
class Checking:
    """A section of a settings file, or the settings of a command, before anything runs.

    sections  all sections of the file by name; just its own where a command was given
    """

    settings: Any
    workspace: "Workspace"
    sections: dict[str, Any]

    @property
    def tables(self) -> set[str]:
        """Names of the finished tables; none where there is no workspace yet."""
        try:
            return {table.name for table in self.workspace.tables()}
        except RequestError:
            return set()

    def inside(self, path: str) -> bool:
        """Whether a path lies in the workspace, where a stage may yet make it."""
        here = self.workspace.url
        return path.startswith(here + "/") or os.path.abspath(path).startswith(here + "/")

    def file(self, field: str, path: str | None) -> None:
        """Refuse a path that is not there and that no stage of this workspace can make."""
        from ...corpus.store.shards import filesystem

        if path is None or self.inside(path):
            return
        files, place = filesystem(path)
        if not files.exists(place):
            raise RequestError(f"{field}: there is no file or folder {path}")
