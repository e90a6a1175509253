"""A settings file is read and checked to the last name in it before the first stage runs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.clusters.values import expanded
from gristmill.pipelines.engine.registry import records
from gristmill.pipelines.engine.run import left_out, load_settings, parsed, run


@pytest.fixture
def crawl(tmp_path) -> str:
    """A file of two documents."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"A text of some words, number {n}."}) + "\n" for n in range(2)))
    return str(path)


@pytest.fixture
def read(tmp_path, crawl):
    """A settings file that extracts, with more sections after it."""

    def write(more: str, extract: str | None = None):
        paths = extract or f"{{inputs: [{{paths: [{crawl}], source: s}}], language_model: null}}"
        path = tmp_path / "s.yaml"
        path.write_text(f"workspace: {tmp_path / 'w'}\nextract: {paths}\n{more}")
        return load_settings(path)

    return write


WRONG = [  # (sections, what is said)
    ("export: [{to: megatrn, output: o}]", "did you mean megatron"),
    ("tokenize: {tokenizer: nowhere.json}", "--tokenizer nowhere.json is no file, no folder"),
    ("tokenize: {vocab_size: 300}\nmix: {target: {t: 1}}", "target: no domain 't'; there are: s"),
    ("tokenize: {vocab_size: 300}\nmix: {floors: {x: 0.1}}", "floors: no domain 'x'"),
    ("filter: {rules: gophr}", "did you mean gopher"),
    ("refilter: {rules: nowhere.yaml}", "no rule set 'nowhere.yaml'"),
    ("decontaminate: {sets: {arc: nowhere.jsonl}}", "nowhere.jsonl"),
    ("semantic: {model: nowhere.safetensors}", "no file or folder nowhere.safetensors"),
    ("score: [{method: perplexity, models: {a: nowhere.safetensors}}]", "score.0: models.a: there is no file"),
    ("score: [{method: dsir, targets: [nowhere.jsonl]}]", "score.0: targets: there is no file"),
    ("select: {by: [dsir], share: 0.5}", "by: no score 'dsir'"),
    ("tag: {taxonomies: [topc]}", "did you mean topic"),
    ("balance: {concepts: nowhere.txt, cap: 1}", "nowhere.txt"),
    ("refine: {by: model, line_model: nowhere.npz}", "line_model: there is no file"),
    ("rewrite: {engine: {kind: endpoint, url: 'http://x/v1', model: m}, styles: [esy]}", "did you mean easy"),
    ("train: {model: 2m}", "no model size '2m'"),
    ("train: {branch: nowhere}", "branch: there is no file"),
    ("train: {loop: {teacher: {checkpoint: nowhere}}}", "loop.teacher.checkpoint: there is no file"),
    ("dedup: {against: [nowhere]}", "against: there is no file or folder nowhere"),
]


@pytest.mark.parametrize(("more", "said"), WRONG)
def test_what_is_not_there_is_refused_before_the_first_stage(read, tmp_path, more, said):
    with pytest.raises(RequestError) as refused:
        list(run(read(more), quiet=True))
    assert said in str(refused.value)
    assert not (tmp_path / "w").exists()


def test_every_section_has_a_mistake_that_is_found_before_anything_runs():
    tried = {more.split(":")[0] for more, _ in WRONG} | {"mix"}
    assert set(records()) - tried <= {"extract", "ladder", "report", "write"}  # these name nothing that has to be there


def test_all_mistakes_are_told_together_one_a_line(read):
    with pytest.raises(RequestError) as refused:
        list(run(read("filter: {rules: gophr}\nexport: [{to: megatrn, output: o}]"), quiet=True))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["filter", "export.0"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workspace: w\nworkers: 1\nworkspace: v\n", "line 3: the key 'workspace' stands there twice, first in line 1"),
        ("workspace: w\nfilter: {rules: a, rules: b}\n", "the key 'rules' stands there twice"),
        ("workspace: w\ntag:\n  clusters: 2\n  seed: 1\n  clusters: 3\n", "line 5: the key 'clusters'"),
    ],
)
def test_a_key_that_is_said_twice_is_refused_with_its_lines(text, said):
    with pytest.raises(RequestError, match=said):
        parsed(text, "s.yaml")


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), st.integers(0, 2))
def test_repeated_keys_are_found_at_any_depth_and_others_never(keys, depth):
    inner = "{" + ", ".join(f"{key}: 1" for key in keys) + "}"
    text = "workspace: w\nfilter: " + "{x: " * depth + inner + "}" * depth + "\n"
    if len(set(keys)) == len(keys):
        parsed(text, "s.yaml")
    else:
        with pytest.raises(RequestError, match="twice"):
            parsed(text, "s.yaml")


@pytest.mark.parametrize("name", ["dedup", "tokenize", "report", "refine", "tag"])
def test_an_empty_section_means_its_defaults(read, name):
    settings = read(f"{name}:\n")
    assert getattr(settings, name) == records()[name].load("settings")()


def test_the_environment_is_expanded_and_what_is_not_set_is_named(read, crawl, monkeypatch):
    monkeypatch.setenv("CRAWL", crawl)
    given = read("", extract="{inputs: [{paths: ['${CRAWL}']}]}")
    assert given.extract.inputs[0].paths == (crawl,)
    with pytest.raises(RequestError, match=r"extract.inputs.0.paths.0: the environment variable 'NO_SUCH' is not set"):
        read("", extract="{inputs: [{paths: ['${NO_SUCH}/x']}]}")


@given(st.text(alphabet="ab$ {}/", max_size=12))
def test_text_without_a_variable_stays_as_it_is(text):
    doubled = text.replace("$", "$$")
    assert expanded(doubled, (), []) == text


def test_what_the_workspace_holds_and_the_file_does_not_name_is_told(read, tmp_path, crawl):
    (tmp_path / "any.yaml").write_text("name: any\nrules: []\n")
    whole = read(f"filter: {{rules: {tmp_path / 'any.yaml'}}}\n")
    assert left_out(whole) == []
    list(run(whole, quiet=True))
    assert left_out(whole) == []
    assert "decisions of filter" in left_out(read(""))[0]
    other = tmp_path / "b.jsonl"
    other.write_text(json.dumps({"text": "Another text."}) + "\n")
    without = read("", extract=f"{{inputs: [{{paths: [{other}], source: s}}], language_model: null}}")
    assert any(crawl in said for said in left_out(without))


def test_extract_without_inputs_finishes_what_was_begun(read, tmp_path, capsys):
    list(run(read(""), quiet=True))
    (again,) = run(read("", extract="{language_model: null}"), quiet=True)
    assert again["skipped"]
    from gristmill.pipelines.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["extract", "--workspace", str(tmp_path / "w"), "--language-model", "none", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["tables"]["documents"]["kept"] == 2
    with pytest.raises(SystemExit) as refused:
        main(["extract", "--workspace", str(tmp_path / "none"), "--language-model", "none"])
    assert refused.value.code == 2
    assert "no input" in capsys.readouterr().err
    assert Workspace(str(tmp_path / "w")).table("documents").manifest() is not None
