"""Extraction of given files into a fresh workspace, in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract


@dataclass
class Extracted:
    """The tables of a finished extraction."""

    workspace: Workspace
    summary: dict

    def rows(self, table: str = "documents") -> list[dict]:
        return [row for batch in self.workspace.table(table).read() for row in batch.to_pylist()]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows()]

    @property
    def errors(self) -> list[str]:
        return [row["error"] for row in self.rows("failures/extract")]

    @property
    def counts(self) -> dict[str, int]:
        return self.summary["tables"]["documents"]


@pytest.fixture
def extract(tmp_path: Path):
    """extract(path, ..., **settings) -> Extracted; `to` names the workspace, `force` forces."""

    def run(*paths: Path, to: str = "workspace", force: bool = False, workers: int = 1, **settings) -> Extracted:
        workspace = Workspace(str(tmp_path / to))
        given = (Input(paths=tuple(str(path) for path in paths), source="test"),) if paths else ()
        made = ExtractSettings(**{"inputs": given, **settings})
        options = RunnerOptions(workers=workers)
        return Extracted(workspace, run_extract(workspace, made, options, force=force, quiet=True))

    return run
