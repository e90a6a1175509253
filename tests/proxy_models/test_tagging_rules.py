"""Tags in rules: in the tag stage, over the tags there, and in the filter stage, as a signal family."""

import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter import stage as filter_stage
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.tag import stage as tag_module
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag

WORDS = {
    "sports": "goal match team striker league referee stadium coach season penalty",
    "mathematics": "theorem proof lemma integer matrix polynomial equation prime algebra topology",
    "food-and-drink": "recipe butter flour oven garlic simmer onion pepper saucepan tablespoon",
}
TOPICS = sorted(WORDS)
RULES = """
name: mine
rules:
  - {rule: topic, value: tag.topic_confidence, threshold: 0.1, keep: "tag.topic <> 'sports' and value >= threshold"}
  - {rule: educational, value: tag.quality_label, threshold: 3, keep: value >= threshold}
"""


@pytest.fixture
def workspace(make_documents):
    made = [
        {
            "id": f"{at:032x}",
            "text": " ".join(WORDS[TOPICS[at % 3]].split()[at % 7 :] * 4),
            "url": f"http://{TOPICS[at % 3]}.example.org/",
        }
        for at in range(90)
    ]
    return make_documents({"a.parquet": made[:50], "b.parquet": made[50:]})


@pytest.fixture
def taught(workspace, chat_server):
    """The workspace after an engine has labelled a sample and small models have learnt from it."""

    def say(prompt):
        instruction, text = prompt.split("The document:\n\n")
        topic = max(WORDS, key=lambda name: sum(text.count(word) for word in WORDS[name].split()))
        return ("5" if topic == "mathematics" else "2") if "gain from" in instruction else topic

    chat_server.say = say
    engine = {"kind": "endpoint", "url": chat_server.url, "model": "m", "retries": 0}
    settings = TagSettings(engine=engine, sample=80, taxonomies=("quality_label", "topic"))
    run_tag(workspace, settings, RunnerOptions(), quiet=True)
    return workspace


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RULES)
    return str(path)


def run(command):
    """The exit code of a command."""
    try:
        main(command)
    except SystemExit as end:
        return end.code or 0
    return 0


def fates(workspace: Workspace, stage: str) -> dict[str, int]:
    told: dict[str, int] = {}
    for batch in workspace.table(f"decisions/{stage}").read():
        for row in batch.to_pylist():
            told[row["rule"]] = told.get(row["rule"], 0) + 1
    return told


def test_the_filter_command_decides_by_tags_and_the_tag_stage_goes_on_from_there(taught, rules):
    command = ["filter", "--workspace", taught.url, "--rules", rules, "--json"]
    assert run(command) == 0
    decided = taught.table("decisions/filter").manifest()
    assert fates(taught, "filter") == {None: 30, "topic": 30, "educational": 30}
    run_tag(taught, TagSettings(taxonomies=("quality_label", "topic")), RunnerOptions(), quiet=True)
    assert sum(len(batch) for batch in taught.table("tags").read()) == 30
    assert run(command) == 0  # fewer documents are tagged now, and nothing is stale
    assert taught.table("decisions/filter").manifest() == decided
    assert not [found for found in audit(taught)["findings"] if found["check"] == "fingerprint"]


def test_other_thresholds_on_tags_read_no_text(taught, rules, tmp_path, monkeypatch):
    run_filter(taught, FilterSettings(rules=rules), RunnerOptions(), quiet=True)
    monkeypatch.setattr(filter_stage, "measure_batch", lambda *_: pytest.fail("the text was measured again"))
    (tmp_path / "mine.yaml").write_text(RULES.replace("threshold: 3", "threshold: 2"))
    run_filter(taught, FilterSettings(rules=rules), RunnerOptions(), quiet=True)
    assert fates(taught, "filter") == {None: 60, "topic": 30}


def test_the_value_of_a_label_is_on_record(taught, rules):
    run_filter(taught, FilterSettings(rules=rules), RunnerOptions(), quiet=True)
    rows = [row for batch in taught.table("decisions/filter").read() for row in batch.to_pylist()]
    assert {(row["value"], row["threshold"]) for row in rows if row["rule"] == "educational"} == {(2.0, 3.0)}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tag.topic <> 'sports'", "tag.topik <> 'sports'", "did you mean tag.topic"),
        ("tag.topic <> 'sports'", "tag.topic > 3", "Cannot compare"),
    ],
)
def test_a_rule_that_names_no_tag_or_another_type_is_refused_before_a_run(taught, rules, tmp_path, old, new, told):
    (tmp_path / "mine.yaml").write_text(RULES.replace(old, new))
    before = taught.table("decisions/tag").manifest()
    with pytest.raises(RequestError, match=told):
        run_filter(taught, FilterSettings(rules=rules), RunnerOptions(), quiet=True)
    with pytest.raises(RequestError, match=told):
        run_tag(taught, TagSettings(rules=rules), RunnerOptions(), quiet=True)
    assert taught.table("signals/tag").manifest() is None
    assert taught.table("decisions/tag").manifest() == before


def test_without_labellers_the_refusal_names_the_command_that_teaches_them(workspace, rules):
    with pytest.raises(RequestError, match="no taxonomy has been learnt yet by gristmill tag"):
        run_filter(workspace, FilterSettings(rules=rules), RunnerOptions(), quiet=True)


def test_the_tag_stage_decides_by_the_same_file_and_anew_from_the_tags_there(taught, rules, tmp_path, monkeypatch):
    settings = TagSettings(taxonomies=("quality_label", "topic"), rules=rules)
    tags = taught.table("tags").manifest()
    monkeypatch.setattr(tag_module, "tagged", lambda *_: pytest.fail("documents were tagged again"))
    run_tag(taught, settings, RunnerOptions(), quiet=True)
    assert fates(taught, "tag") == {None: 30, "topic": 30, "educational": 30}
    (tmp_path / "mine.yaml").write_text(RULES.replace("threshold: 3", "threshold: 2"))
    run_tag(taught, settings.model_copy(update={"domain": ("topic", "quality_label")}), RunnerOptions(), quiet=True)
    assert fates(taught, "tag") == {None: 60, "topic": 30}
    assert taught.table("tags").manifest().shards == tags.shards
    run_tag(taught, settings.model_copy(update={"keep": ("suffix = 'com'",)}), RunnerOptions(), quiet=True)
    assert fates(taught, "tag") == {"suffix = 'com'": 90}


def test_rules_that_cut_lines_are_the_filter_stages(taught):
    with pytest.raises(RequestError, match="lines and mask are filter's"):
        run_tag(taught, TagSettings(rules="c4"), RunnerOptions(), quiet=True)
