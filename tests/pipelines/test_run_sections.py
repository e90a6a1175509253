"""Stages beside the shortest road: a settings file may name them, and they run in the order of the chain."""

import json

import pytest
import yaml

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.fate import deciding
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.run import load_settings, run

from .small_crawl import write_small_crawl


@pytest.fixture
def settings(tmp_path, tiny_model):
    """A settings file that names its sections in no order."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"text": " ".join(f"word{n}" for n in range(20))}) + "\n")

    def write(**changes):
        inputs = write_small_crawl(tmp_path / "crawl")
        sections = {
            "select": {"by": ["dsir"], "share": 0.5},
            "score": [{"method": "dsir", "targets": [str(questions)]}],
            "balance": {"by": "domain", "cap": 5},
            "tag": {"keep": ["true"], "clusters": 2},
            "semantic": {"model": tiny_model, "epsilon": 0.001},
            "dedup": {"threshold": 0.7},
            "decontaminate": {"sets": {"questions": str(questions)}},
            "refine": {},
            "filter": {"rules": "gopher"},
            "extract": {"inputs": inputs},
        }
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump({"workspace": str(tmp_path / "w"), **sections, **changes}, sort_keys=False))
        return load_settings(path)

    return write


@pytest.mark.slow
def test_every_deciding_stage_runs_in_the_order_of_the_chain_and_once(settings, tmp_path):
    loaded = settings()
    ran = [summary["stage"] for summary in run(loaded, quiet=True)]
    chain = ["filter", "refine", "decontaminate", "dedup", "semantic", "tag", "balance"]
    assert ran == ["extract", *chain, "score", "select"]
    workspace = Workspace(str(tmp_path / "w"))
    assert deciding(workspace) == [*chain, "select"]
    counts = [workspace.table(f"decisions/{stage}").finished("test").counts for stage in deciding(workspace)]
    assert [after["in"] for after in counts[1:]] == [before["kept"] for before in counts[:-1]]
    assert audit(workspace)["findings"] == []
    assert all(summary["skipped"] for summary in run(loaded, quiet=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decontaminate": {"sets": {"gone": "/nowhere/set.jsonl"}}}, "/nowhere/set.jsonl"),
        ({"balance": {"concepts": "/nowhere/list.txt", "cap": 5}}, "/nowhere/list.txt"),
        ({"score": [{"method": "dsir"}]}, "needs a --target"),
        ({"score": [{"method": "dsir", "tragets": ["x"]}]}, "did you mean targets"),
        ({"balance": {"by": "host"}}, "exactly one of cap and tail"),
        ({"semantic": {"epsilon": None}}, "nothing would be dropped"),
        ({"dedup": {"preset": "finewed"}}, "did you mean fineweb"),
    ],
)
def test_what_a_section_lacks_is_refused_before_anything_runs(settings, tmp_path, changes, message):
    with pytest.raises(RequestError, match=message):
        list(run(settings(**changes), quiet=True))
    assert not (tmp_path / "w").exists()
