"""Tags: from URLs, from an engine through a small model, from clusters; and what they are used for."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import inputs, read_kept
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.rewriting.clusters import find_clusters, from_bytes, to_bytes, without_tiny
from gristmill.proxy_models.rewriting.tagging import agreement, domain_name, held_back, learn, open_labeller
from gristmill.proxy_models.rewriting.tagging_urls import url_tags
from gristmill.proxy_models.rewriting.taxonomy import load_taxonomies
from gristmill.training.data.shards import open_tokens

WORDS = {
    "sports": "goal match team striker league referee stadium coach season penalty",
    "mathematics": "theorem proof lemma integer matrix polynomial equation prime algebra topology",
    "food-and-drink": "recipe butter flour oven garlic simmer onion pepper saucepan tablespoon",
}


def documents(count, seed=0):
    """(id, text, topic): texts drawn from the words of a topic and from common ones."""
    draw = random.Random(seed)
    made = []
    for at in range(count):
        topic = sorted(WORDS)[at % 3]
        words = [draw.choice(WORDS[topic].split()) for _ in range(30)] + [draw.choice("the of and in".split())] * 10
        draw.shuffle(words)
        made.append((f"{at:032x}", " ".join(words), topic))
    return made


# ---- URLs ----


@pytest.mark.parametrize(
    ("url", "registered", "suffix", "words"),
    [
        ("https://forums.news.bbc.co.uk/sport/foot-ball_2020/a1.html?q=x#y", "bbc.co.uk", "co.uk", "sport foot ball"),
        ("http://en.wikipedia.org/wiki/Water%20wheel", "wikipedia.org", "org", "wiki water wheel"),
        ("http://192.168.0.1/index.php", None, None, "index"),
        ("https://localhost/a", None, None, ""),
        ("https://müller.example.de/straße", "example.de", "de", "strasse"),
        ("not a url", None, None, ""),
        ("http://[broken", None, None, ""),
        (None, None, None, ""),
    ],
)
def test_a_url_is_taken_apart(url, registered, suffix, words):
    told = url_tags(url)
    assert (told.registered_domain, told.suffix, " ".join(told.path_words)) == (registered, suffix, words)


@given(st.text(max_size=80))
def test_any_text_may_stand_where_a_url_should(text):
    for url in (text, "http://" + text):
        told = url_tags(url)
        assert all(word == word.lower() and " " not in word for word in told.path_words)


# ---- taxonomies ----


def test_topics_and_formats_number_two_dozen_and_descriptions_reach_the_engine():
    loaded = load_taxonomies(["topic", "format"])
    assert [len(taxonomy.labels) for taxonomy in loaded.values()] == [24, 24]
    request = loaded["topic"].request("x" * 10_000)
    assert request.choices == tuple(loaded["topic"].labels)
    assert all(f"{label}: {about}" in request.instruction for label, about in loaded["topic"].labels.items())
    assert len(request.document) == 4000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tone: {question: Which, labels: {a b: x, c: y}}", "letters, digits"),
        ("tone: {question: Which, labels: {a: x}}", "at least 2"),
        ("a tone: {question: Which, labels: {a: x, b: y}}", "become columns"),
        ("[1]", "expected a mapping"),
        ("tone: {question: Which?, labels: {a: x, b: y}}", "parsing"),
    ],
)
def test_unusable_taxonomies_are_refused(tmp_path, text, told):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(RequestError, match=told):
        load_taxonomies(["tone"], str(tmp_path / "t.yaml"))


# ---- distillation ----


@pytest.mark.parametrize("learner", ["linear", "fasttext"])
def test_a_small_model_learns_its_teachers_labels(learner):
    if learner == "fasttext":
        pytest.importorskip("fasttext")
    rows = documents(240)
    lesson = learn(rows, "topic", learner, 0)
    assert lesson.agreement["agreement"] >= 0.95
    assert lesson.agreement["commonest_agreement"] < 0.5
    assert lesson.agreement["held_back"] == sum(held_back(id) for id, *_ in rows)
    assert learn(list(reversed(rows)), "topic", learner, 0).model == lesson.model
    labeller = open_labeller(lesson.kind, lesson.labels, lesson.model)
    fresh = documents(30, seed=1)
    told = labeller.label([text for _, text, _ in fresh])
    assert [label for label, _ in told] == [topic for *_, topic in fresh]
    assert all(0 < confidence <= 1 for _, confidence in told)


def test_two_labels_are_enough_and_one_is_not():
    rows = [(id, text, "yes" if topic == "sports" else "no") for id, text, topic in documents(90)]
    lesson = learn(rows, "good", "linear", 0)
    labeller = open_labeller(lesson.kind, lesson.labels, lesson.model)
    assert [label for label, _ in labeller.label([WORDS["sports"], WORDS["mathematics"]])] == ["yes", "no"]
    with pytest.raises(WorkspaceError, match="too few labels"):
        learn([(id, text, "yes") for id, text, _ in rows], "good", "linear", 0)


def test_agreement_is_measured_against_chance():
    told = agreement(["a", "a", "b", "b"], ["a", "b", "b", "b"], ["a", "b", "b"])
    assert (told["agreement"], told["kappa"], told["commonest"], told["commonest_agreement"]) == (0.75, 0.5, "b", 0.5)


# ---- clusters ----


def test_clusters_find_the_groups_that_are_there():
    rows = documents(150)
    clusters = find_clusters([text for _, text, _ in rows], 3, 0)
    found = clusters.assign([text for _, text, _ in rows])
    groups = {topic: {int(at) for at, row in zip(found, rows, strict=True) if row[2] == topic} for topic in WORDS}
    assert sorted(map(len, groups.values())) == [1, 1, 1]
    assert set.union(*groups.values()) == {0, 1, 2}
    at = groups["sports"].pop()
    assert set(clusters.words[at].split()) <= set(WORDS["sports"].split())
    stored = from_bytes(to_bytes(clusters))
    assert np.array_equal(stored.assign([rows[0][1]]), found[:1])
    assert to_bytes(find_clusters([text for _, text, _ in rows], 3, 0)) == to_bytes(clusters)


def test_more_clusters_than_documents_are_refused():
    with pytest.raises(WorkspaceError, match="ask for fewer"):
        find_clusters(["a", "b"], 3, 0)


@given(st.lists(st.none() | st.text(max_size=8), min_size=1, max_size=3))
def test_a_mixture_unit_is_fit_for_a_folder(values):
    name = domain_name(values)
    assert name
    assert "/" not in name
    assert name.strip(".")


# ---- the stage ----


def run(workspace, **settings):
    return run_tag(workspace, TagSettings(**settings), RunnerOptions(), quiet=True)


def rows_of(workspace, table):
    return sorted(
        (row for batch in workspace.table(table).read() for row in batch.to_pylist()), key=lambda row: row["id"]
    )


@pytest.fixture
def workspace(make_documents):
    made = [
        {
            "id": id,
            "text": text,
            "url": f"http://www.{topic}.example.org/{topic}/page",
            "host": f"www.{topic}.example.org",
        }
        for id, text, topic in documents(120)
    ]
    return make_documents({"a.parquet": made[:70], "b.parquet": made[70:]})


@pytest.fixture
def engine(chat_server):
    def say(prompt):
        instruction, text = prompt.split("The document:\n\n")
        topic = max(WORDS, key=lambda name: sum(text.count(word) for word in WORDS[name].split()))
        if "gain from" in instruction:
            return '{"label": "5"}' if topic == "mathematics" else '{"label": "2"}'
        return topic if "mainly about" in instruction else "gibberish"

    chat_server.say = say
    return {"kind": "endpoint", "url": chat_server.url, "model": "m", "retries": 0}


def test_without_a_model_only_the_url_speaks(workspace):
    run(workspace)
    told = rows_of(workspace, "tags")
    assert {row["registered_domain"] for row in told} == {"example.org"}
    assert told[0]["path_words"] == ["food", "and", "drink", "page"]
    assert {(row["topic"], row["quality_label"], row["assigned_by"]) for row in told} == {(None, None, None)}


def test_an_engine_labels_a_sample_and_a_small_model_labels_everything(workspace, engine, chat_server):
    summary = run(workspace, engine=engine, sample=80, taxonomies=("quality_label", "topic"))
    counts = summary["tables"]["labels"]
    assert 100 < counts["in"] < 220
    assert counts["in"] == counts["kept"] == sum(chat_server.attempts.values())
    told = rows_of(workspace, "tags")
    assert [row["topic"] for row in told] == [topic for *_, topic in documents(120)]
    assert {row["quality_label"] for row in told if row["topic"] == "mathematics"} == {5}
    assert told[0]["assigned_by"] == "quality_label: linear, distilled; topic: linear, distilled"
    assert summary["details"]["agreement"]["topic"]["agreement"] == 1.0
    asked = sum(chat_server.attempts.values())
    run(workspace, taxonomies=("topic",))  # labellers are there: no engine is needed
    assert sum(chat_server.attempts.values()) == asked


def test_replies_that_are_no_label_are_failures(workspace, engine):
    with pytest.raises(WorkspaceError, match="format: the labelled sample has too few labels"):
        run(workspace, engine=engine, sample=10, taxonomies=("format", "topic"))
    failures = rows_in(workspace, "failures/label")
    assert failures
    assert all(row["error"].startswith("format: not one of the choices") for row in failures)


def rows_in(workspace, table):
    return [row for batch in workspace.table(table).read() for row in batch.to_pylist()]


def test_tags_decide_and_a_null_never_passes(workspace, engine):
    run(workspace, engine=engine, sample=80, taxonomies=("topic",), keep=("topic <> 'sports'", "suffix = 'org'"))
    dropped = [row for row in rows_of(workspace, "decisions/tag") if not row["kept"]]
    assert len(dropped) == 40
    assert {row["rule"] for row in dropped} == {"topic <> 'sports'"}
    counts = run(workspace, taxonomies=("topic",), keep=("quality_label >= 3",))["tables"]["decisions/tag"]
    assert (counts["kept"], counts["dropped"]) == (0, 120)


def test_mixture_units_made_of_tags_replace_the_domain_for_later_stages(workspace, engine):
    run(workspace, engine=engine, sample=80, taxonomies=("quality_label", "topic"), domain=("topic", "quality_label"))

    def domains():
        return {
            domain
            for shard in ("a.parquet", "b.parquet")
            for batch in read_kept(workspace, shard, ["id", "domain"])
            for domain in batch["domain"].to_pylist()
        }

    assert domains() == {"food-and-drink.2", "mathematics.5", "sports.2"}
    assert "domains" in inputs(workspace, "tokenize")
    run(workspace, taxonomies=("topic",))
    assert domains() == {"web"}
    assert "domains" not in inputs(workspace, "tokenize")


@pytest.mark.slow
def test_a_model_can_be_conditioned_on_tags(workspace, engine):
    run(workspace, engine=engine, sample=80, taxonomies=("topic",), domain=("topic",))
    tokenize(workspace, TokenizeSettings(metadata="domain", vocab_size=400), RunnerOptions(), quiet=True)
    words = Tokenizer.from_file(workspace.path("tokenizer", "tokenizer.json"))
    for topic in WORDS:
        tokens = open_tokens(workspace, topic)
        prefix = tokens.document(0)[1 : 1 + tokens.metadata_tokens[0]]
        assert words.decode(prefix.tolist()) == f"Topic: {topic}\n\n"


def test_clusters_become_mixture_units(workspace):
    summary = run(workspace, clusters=3, domain=("cluster",))
    units = {row["id"]: row["domain"] for row in rows_of(workspace, "domains")}
    by_topic = {topic: {units[id] for id, _, t in documents(120) if t == topic} for topic in WORDS}
    assert sorted(len(names) for names in by_topic.values()) == [1, 1, 1]
    assert summary["tables"]["clusters"] == {"clusters": 3, "sampled": 120}


def test_a_users_own_model_labels_a_taxonomy(workspace, tmp_path):
    pytest.importorskip("fasttext")
    lesson = learn(documents(120), "topic", "fasttext", 0)
    (tmp_path / "topic.bin").write_bytes(lesson.model)
    run(workspace, models={"topic": str(tmp_path / "topic.bin")}, taxonomies=("topic",))
    told = rows_of(workspace, "tags")
    assert [row["topic"] for row in told] == [topic for *_, topic in documents(120)]
    assert told[0]["assigned_by"] == "topic: fasttext, given"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"domain": ("tpic",)}, "did you mean topic"),
        ({"keep": ("topik = 'x'",)}, "topik"),
        ({"keep": ("topic = ",)}, "--keep"),
        ({"keep": ("(select count(*) from read_csv('/etc/passwd')) > 0",)}, "--keep"),
        ({"keep": ("topic >= 3",)}, "Cannot compare"),
        ({"clusters": 1}, "--clusters 1"),
        ({"models": {"topic": "absent.bin"}}, "absent.bin"),
    ],
)
def test_a_request_that_names_no_tag_is_refused_before_anything_is_written(workspace, settings, told):
    with pytest.raises(RequestError, match=told):
        run(workspace, **settings)
    assert workspace.table("tags").manifest() is None


def test_tagging_again_changes_nothing_and_a_lost_shard_comes_back_alike(workspace):
    from pathlib import Path

    run(workspace, clusters=2, domain=("cluster", "suffix"))
    assert run(workspace, clusters=2, domain=("cluster", "suffix"))["skipped"]
    path = Path(workspace.table("tags").shard_url("a.parquet"))
    before = path.read_bytes()
    path.unlink()
    run(workspace, clusters=2, domain=("cluster", "suffix"))
    assert path.read_bytes() == before


def test_a_tiny_cluster_joins_its_nearest():
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    joined = without_tiny(centres, np.array([0, 1, 2]), np.array([50, 1, 50]), 5)
    assert joined.tolist() == [0, 0, 2]
    assert without_tiny(centres, np.array([0, 1, 2]), np.array([50, 9, 50]), 5).tolist() == [0, 1, 2]
