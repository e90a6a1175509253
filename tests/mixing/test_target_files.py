"""Targets that are files: read, divided by item, measured on right answers alone, refused before anything runs."""

import gzip
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.proxies import open_pool
from gristmill.mixing.recipe import load_recipe
from gristmill.mixing.target_files import JUDGED, SEARCHED, all_items, halves, read_items, trained_on
from gristmill.mixing.target_names import target_entry, targets_of
from gristmill.pipelines.audit import targets_trained_on
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.mix.bounds import MixSettings, mix_inputs
from gristmill.pipelines.stages.mix.stage import mix
from gristmill.proxy_models.fleets.group import answer_rows
from gristmill.proxy_models.fleets.pool import HeldOutTokens
from gristmill.training.targets import Item, load_target

from .test_mix_stage import SETTINGS


def questions(path, count=40):
    rows = [{"query": f"alpha {n}?", "choices": ["one two", f"beta gamma {n}"], "gold": n % 2} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("law", ("law", None, 1.0)),
        ("law=2", ("law", None, 2.0)),
        ("x/arc_easy.jsonl", ("arc_easy", "x/arc_easy.jsonl", 1.0)),
        ("arc.jsonl.gz=0.5", ("arc", "arc.jsonl.gz", 0.5)),
        ("arc=arc_easy.jsonl", ("arc", "arc_easy.jsonl", 1.0)),
        ("arc=arc_easy.jsonl=3", ("arc", "arc_easy.jsonl", 3.0)),
        ("arc=a=b.txt", ("arc", "a=b.txt", 1.0)),
    ],
)
def test_a_target_is_a_domain_or_a_file_with_a_weight_or_not(entry, found):
    assert target_entry(entry) == found


@pytest.mark.parametrize("entry", ["", "=1", "law=nan", "law=inf", "law=x", "arc.jsonl=nan", "=a.jsonl"])
def test_a_target_that_is_none_is_refused(entry):
    with pytest.raises(RequestError, match="expected NAME"):
        target_entry(entry)


def test_two_files_of_one_stem_need_names():
    with pytest.raises(RequestError, match=r"a/t\.jsonl and b/t\.txt"):
        targets_of([target_entry("a/t.jsonl"), target_entry("b/t.txt")], "--target")


def test_targets_are_told_in_a_settings_file_as_on_the_command_line(tmp_path):
    path = questions(tmp_path / "arc.jsonl")
    for told in (path, [path], {"arc": path}, {"arc": {"file": path}}, {"arc": {"file": path, "weight": 1}}):
        found = MixSettings.model_validate({**SETTINGS, "target": told})
        assert (found.weights(), found.target_files) == ({"arc": 1.0}, {"arc": path})
    found = MixSettings.model_validate({**SETTINGS, "target": ["long=2", f"arc={path}=3"]})
    assert found.weights() == {"long": 2.0, "arc": 3.0}
    assert MixSettings.model_validate(found.model_dump()) == found


@given(st.lists(st.text("abcdefgh ", min_size=1, max_size=8).map(str.strip).filter(bool), unique=True, max_size=40))
@settings(max_examples=40, deadline=None)
def test_an_item_stays_in_its_half_whatever_others_there_are(texts):
    items = [Item("", (text,)) for text in texts]
    whole = halves(items)
    assert sorted(i.continuations for part in whole.values() for i in part) == sorted(i.continuations for i in items)
    fewer = halves(items[::2])
    for half in (SEARCHED, JUDGED):
        assert [item for item in whole[half] if item in items[::2]] == fewer[half]


def test_equal_items_are_one_and_a_half_without_any_is_refused(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n\n".join(["same text"] * 5))
    with pytest.raises(RequestError, match="half empty"):
        read_items(str(path))
    path.write_text("\n\n".join(f"text {n % 30}" for n in range(60)))
    assert len(read_items(str(path))) == 30


@pytest.mark.parametrize(
    ("row", "message"),
    [('{"query": "a", "choices": ["b"], "gold": 3}', "line 41"), ('{"query": "a"}', "line 41"), ("5", "line 41")],
)
def test_a_row_of_no_known_form_is_refused_by_its_line(tmp_path, row, message):
    path = tmp_path / "t.jsonl"
    questions(path)
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(RequestError, match=message):
        read_items(str(path))
    path.write_text('{"prompt": "x"}\n')
    with pytest.raises(RequestError, match="has the keys"):
        read_items(str(path))


def test_questions_with_a_text_beside_them_are_questions(tmp_path):
    questions(tmp_path / "plain.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "plain.jsonl").read_text().splitlines()]
    both = [{"text": "the whole of it", **row} for row in rows]
    (tmp_path / "both.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both))
    assert read_items(str(tmp_path / "both.jsonl")) == read_items(str(tmp_path / "plain.jsonl"))


@pytest.mark.parametrize("name", ["T.JSONL", "t.Json", "t.NDJSON.gz"])
def test_the_case_of_a_files_name_does_not_change_what_it_holds(tmp_path, name):
    text = Path(questions(tmp_path / "plain.jsonl")).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert target_entry(name) == (name.split(".")[0], name, 1.0)
    assert read_items(str(tmp_path / name)) == read_items(str(tmp_path / "plain.jsonl"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "query,choices\na,b\n\nc,d\n", "table of cells"),
        ("t.TSV", "a\tb\n\nc\td\n", "table of cells"),
        ("t", '{"query": "a", "choices": ["b"], "gold": 0}\n\n{"query": "c"}\n', "end its name in .jsonl"),
        ("t.txt", '{"text": "a"}\n\n{"text": "b"}\n', "end its name in .jsonl"),
        ("t.md", '\ufeff{"context": "a", "continuation": "b"}\r\n', "end its name in .jsonl"),
    ],
)
def test_what_is_no_prose_is_not_read_as_prose(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    for read in (read_items, load_target):
        if read is read_items or path.suffix in (".txt", ".md"):
            with pytest.raises(RequestError, match=message):
                read(str(path))


def test_prose_may_begin_with_a_brace_or_a_number(tmp_path):
    (tmp_path / "t.txt").write_text("{a set}\n\n12\n\n[1, 2]\n\n" + '{"key": 5}\n')
    assert len(all_items(str(tmp_path / "t.txt"))) == 4


@given(
    sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=6),
    seq_len=st.integers(4, 16),
)
@settings(max_examples=60, deadline=None)
def test_every_token_of_an_answer_is_measured_once_and_none_of_its_question(sizes, seq_len):
    parts = [np.arange(head + end) + 100 * place + 1 for place, (head, end) in enumerate(sizes)]
    heads = np.array([head for head, _ in sizes])
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    held = HeldOutTokens("t", np.concatenate(parts).astype(np.uint16), 10, offsets, heads)
    inputs, targets = answer_rows(held, 0, seq_len)
    assert inputs.shape == targets.shape == (len(inputs), seq_len)
    measured = sorted(targets[targets >= 0].tolist())
    assert measured == sorted(int(t) for part, head in zip(parts, heads, strict=True) for t in part[head:])
    before = {int(t): int(f) for part in parts for f, t in itertools.pairwise(part)}
    rows, columns = np.nonzero(targets >= 0)
    assert all(before[int(targets[r, c])] == int(inputs[r, c]) for r, c in zip(rows, columns, strict=True))


def test_a_held_out_set_takes_items_until_it_has_the_tokens(workspace, tmp_path):
    pool = open_pool(workspace.url, "x", 256, (("arc", questions(tmp_path / "arc.jsonl")),), SEARCHED, 20)
    held = pool.heldout[-1]
    assert held.name == "arc"
    assert held.heads is not None
    assert 20 <= pool.text_tokens(held) < 60
    assert pool.targets[:-1] == ["long", "middle", "short"]
    assert pool.fingerprint != pool.measured_on(*pool.heldout[:-1]).fingerprint


def test_a_mixture_is_searched_by_one_half_of_a_file_and_judged_by_the_other(workspace, tmp_path):
    copy = Workspace(str(tmp_path / "W"))
    shutil.copytree(workspace.url, copy.url)
    asked = MixSettings.model_validate({**SETTINGS, "target": f"arc={questions(tmp_path / 'arc.jsonl', 200)}=2"})
    summary = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    told = summary["details"]
    assert told["target_files"]["arc"]["items"] == 200
    assert told["target_files"]["arc"]["short"] == [SEARCHED, JUDGED]  # fewer than 50,000 tokens, and said
    swarm = pq.read_table(copy.path("mixture", "swarm.parquet")).to_pylist()
    assert set(swarm[0]["losses"]) == {"arc", "long", "middle", "short"}
    recipe = load_recipe(copy.path("mixture", "recipe.yaml"))
    assert recipe.evidence.target == {"arc": 1.0, "long": 0.0, "middle": 0.0, "short": 0.0}
    assert set(recipe.evidence.swarm["target_files"]) == {"arc"}
    chosen, judged = recipe.evidence.validation["natural"], recipe.evidence.fresh["natural"]
    assert chosen["bits_per_byte"] != judged["bits_per_byte"]
    again = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    assert again["skipped"]
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(tmp_path / "arc.jsonl", tmp_path / "elsewhere" / "arc.jsonl")
    other = MixSettings.model_validate({**SETTINGS, "target": f"arc={moved}=2"})
    assert run_stage(mix, copy, other, RunnerOptions(), quiet=True)["skipped"]  # what it holds decides, not its place


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("long=long.jsonl", "is a domain"),
        ("arc=absent.jsonl", "no such file"),
        ("lang", "did you mean long"),
    ],
)
def test_targets_are_checked_before_anything_runs(workspace, tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    questions(tmp_path / "long.jsonl")
    with pytest.raises(RequestError, match=message):
        mix_inputs(workspace, MixSettings.model_validate({**SETTINGS, "target": target}))


def test_items_of_a_target_that_are_trained_on_are_found_and_told_by_audit(tmp_path, workspace):
    from gristmill.mixing.exporters.frame import ExportJob
    from gristmill.mixing.proxies import domain_facts
    from gristmill.mixing.recipe import RecipePhase, make_recipe

    phases = [RecipePhase(until=1.0, seq_len=32, shares={"long": 1.0})]
    recipe = make_recipe(total_tokens=1000, domains=domain_facts(workspace, ["long"]), phases=phases)
    seen = [row["text"] for row in itertools.islice(ExportJob(recipe, str(tmp_path), workspace).texts("long"), 3)]
    own = [f"Nobody in the village had seen comet number {n} twice before the lamps were lit." for n in range(4)]
    parts = [" ".join(text.split()[100:180]) for text in seen[1:]]  # out of the middle of documents
    rows = [{"text": text} for text in [seen[0], *parts, *own]]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (one,) = trained_on(workspace, {"t": str(tmp_path / "t.jsonl")}).values()
    assert (one.documents, one.exactly, one.nearly) == (7, 1, 3)
    checked = {}
    (finding,) = targets_trained_on(workspace, [str(tmp_path / "t.jsonl")], checked)
    assert "3 of 7 items stand in training text" in finding.message
    assert checked == {"items of targets": 7}
    asked = [{"query": " ".join(part.split()[:60]), "choices": ["no", " ".join(part.split()[60:])], "gold": 1}
             for part in parts]  # fmt: skip
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (one,) = trained_on(workspace, {"q": str(tmp_path / "q.jsonl")}).values()
    assert one.nearly == 2
    (tmp_path / "n.jsonl").write_text(json.dumps({"text": own[0]}) + "\n")
    assert not list(targets_trained_on(workspace, [str(tmp_path / "n.jsonl")], checked))
