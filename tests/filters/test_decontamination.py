"""Decontamination: copies are found under another case and punctuation, and chance agreement is not."""

import json

import pyarrow as pa
import pytest

from gristmill.corpus.catalog import open_catalog
from gristmill.corpus.fate import read_kept
from gristmill.corpus.refusal import RequestError
from gristmill.corpus.workspace import Workspace
from gristmill.filters.decontamination import build, masked, read_examples, search
from gristmill.pipelines.decontaminate import DecontaminateSettings, decontaminate
from gristmill.pipelines.runner import RunnerOptions
from gristmill.pipelines.stage import run_stage

PROSE = "The valley is that of the river and of the people who have lived beside it for as long as anyone knows."
QUESTION = "Which of these animals keeps its young in a pouch until they are old enough to look for food alone?"
SHORT = "What do plants need to make food?"
TINY = "Who is it?"
INDEX = build({"animals": [QUESTION, SHORT, TINY]})


def hits(text: str):
    return search(pa.array([text]), INDEX)[0]


@pytest.mark.parametrize(
    "change", [str, str.upper, str.lower, lambda t: t.replace(" ", ", ").replace("?", "!!"), str.title]
)
def test_case_and_punctuation_do_not_hide_a_copy(change):
    text = f"é before. {change(QUESTION)} And after."
    (hit,) = hits(text)
    assert (hit.task, hit.example) == ("animals", 0)
    assert text[hit.start : hit.end].lower().replace(",", "").startswith("which of these animals")
    assert hit.words == 20


def test_twelve_words_in_common_are_no_hit_and_thirteen_are():
    words = QUESTION.split()
    assert hits(" ".join(words[:12]) + " otherwise") == []
    assert len(hits(" ".join(words[:13]) + " otherwise")) == 1


def test_a_short_example_is_found_whole_only():
    index = build({"plants": [SHORT]}, shortest=7)
    assert len(search(pa.array(["He asked: what do plants need to make food, then?"]), index)[0]) == 1
    assert search(pa.array(["what do plants need to make"]), index)[0] == []


def test_examples_too_short_to_prove_anything_are_counted():
    assert INDEX.too_short == 2
    with pytest.raises(RequestError, match="no example"):
        build({"none": [TINY]})


def test_masking_cuts_the_hit_and_nothing_else():
    text = f"Before, {QUESTION} After."
    left, removed = masked(text, hits(text))
    assert left == "Before, ? After."
    assert text[: removed[0]["start"]] + text[removed[0]["end"] :] == left


def test_a_line_without_a_known_field_is_refused(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps({"answer": "no"}) + "\n")
    with pytest.raises(RequestError, match="line 1 has none of the fields"):
        read_examples(str(path))


@pytest.fixture
def workspace(tmp_path, document_writer) -> Workspace:
    rows = [("clean", PROSE), ("dirty", f"{PROSE} {QUESTION.upper()} {PROSE}")]
    made = Workspace(str(tmp_path / "w"))
    document_writer(made, [{"id": f"{n:032x}", "title": title, "text": text} for n, (title, text) in enumerate(rows)])
    (tmp_path / "animals.jsonl").write_text(json.dumps({"query": QUESTION}) + "\n")
    return made


@pytest.mark.parametrize("action", ["drop", "mask"])
def test_the_stage_drops_or_cuts_and_records_the_task_and_the_place(workspace, tmp_path, action):
    settings = DecontaminateSettings(sets={"animals": str(tmp_path / "animals.jsonl")}, action=action)
    summary = run_stage(decontaminate, workspace, settings, RunnerOptions(), quiet=True)
    catalog = open_catalog(workspace)
    query = "select task, example, words, title from contamination join documents using (id)"
    assert catalog.execute(query).fetchall() == [("animals", 0, 20, "dirty")]
    counts = summary["tables"]["decisions/decontaminate"]
    assert counts == {
        "in": 2,
        "kept": 2 if action == "mask" else 1,
        "dropped": 0 if action == "mask" else 1,
        "failed": 0,
    }
    shards = [shard.name for shard in workspace.table("documents").manifest().shards]
    texts = [text for s in shards for b in read_kept(workspace, s, ["id", "text"]) for text in b["text"].to_pylist()]
    assert not any("WHICH OF THESE" in text for text in texts)
