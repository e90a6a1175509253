"""Recall, dedup, precision: the settings file of the example runs as it stands, and each step drops what is its own."""

import json
from pathlib import Path

import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.classifiers import train
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.run import load_settings, run, run_model
from gristmill.pipelines.stages.refilter.stage import RefilterSettings

from .small_crawl import edited, prose

EXAMPLE = Path(__file__).parents[2] / "examples" / "math-two-steps.yaml"


def texts(domain: str, first: int, count: int) -> list[str]:
    return [prose(domain, n) for n in range(first, first + count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Clocks are wanted, ships look like them to the first classifier, gardens to none."""
    made = tmp_path_factory.mktemp("two_steps")
    (made / "crawl").mkdir()
    (made / "models").mkdir()
    clocks, ships, gardens = (texts(domain, 0, 20) for domain in ("clocks", "ships", "gardens"))
    pages = [*clocks, *ships, *gardens, clocks[3], edited(ships[4]), "Too short."]
    for part in range(2):
        rows = [
            json.dumps({"text": text, "url": f"https://p.example/{part}/{n}"}) for n, text in enumerate(pages[part::2])
        ]
        (made / "crawl" / f"{part}.jsonl").write_text("\n".join(rows) + "\n")
    known = {domain: texts(domain, 100, 60) for domain in ("clocks", "ships", "gardens", "kitchens")}
    wanted, others = [*known["clocks"], *known["ships"]], [*known["gardens"], *known["kitchens"]]
    train(wanted, others, str(made / "models" / "recall.bin"), epochs=200, dimensions=8)
    train(known["clocks"], known["ships"], str(made / "models" / "precision.bin"), epochs=200, dimensions=8)
    return made


@pytest.mark.slow
def test_the_example_recalls_then_deduplicates_then_is_precise(folder, monkeypatch):
    monkeypatch.chdir(folder)
    settings = load_settings(EXAMPLE).model_copy(update={"workers": 1})
    ran = list(run(settings, quiet=True))
    assert [summary["stage"] for summary in ran] == ["extract", "filter", "refine", "dedup", "refilter"]
    workspace = Workspace("math")
    with open_catalog(workspace) as catalog:
        dropped = catalog.execute("select stage, rule, count(*) from decisions where not kept group by all").fetchall()
        kept = catalog.execute("select text from curated").fetchall()
    assert {(stage, rule): count for stage, rule, count in dropped if stage != "dedup"} == {
        ("filter", "min_words"): 1,
        ("filter", "recall"): 20,
        ("refilter", "precision"): 20,
    }
    assert sum(count for stage, _, count in dropped if stage == "dedup") == 2
    assert sorted(text for (text,) in kept) == sorted(texts("clocks", 0, 20))
    assert audit(workspace)["findings"] == []

    measured = workspace.table("refiltered").manifest()
    again = settings.model_dump()
    again["refilter"]["rules"]["rules"][0]["threshold"] = 2.0
    (*skipped, last) = run(run_model().model_validate(again), quiet=True)
    assert all(summary["skipped"] for summary in skipped)
    assert last["tables"]["decisions/refilter"]["kept"] == 0
    assert workspace.table("refiltered").manifest().shards == measured.shards


@pytest.mark.parametrize(("rules", "message"), [("c4", "edit texts"), ("nothing", "no rule set 'nothing'")])
def test_rules_that_edit_and_rules_that_are_not_there_are_refused(rules, message):
    with pytest.raises(RequestError, match=message):
        RefilterSettings(rules=rules).check()
