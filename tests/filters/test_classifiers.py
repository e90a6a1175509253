"""Classifiers and URL lists as signals."""

import os

import joblib
import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from typer.testing import CliRunner

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.filters.classifiers import held_out, judged, model_checksum, score, train
from gristmill.pipelines.cli import load_command
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter import stage as stage

GOOD = [f"The theorem number {n} follows from the lemma and the proof by induction on n." for n in range(300)]
BAD = [f"Buy now item {n} with free shipping and a discount, click here to subscribe." for n in range(300)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("models") / "math.bin")
    return path, train(GOOD, BAD, path, share=0.2, dimensions=8)


def test_a_model_separates_what_it_did_not_see_and_says_so(model):
    _, result = model
    assert result.auc > 0.99
    half = next(row for row in result.thresholds if row["threshold"] == pytest.approx(0.5))
    assert half["precision"] > 0.95
    assert half["recall"] > 0.95
    assert sum(row["documents"] for row in result.calibration) == result.documents


def test_the_same_texts_give_the_same_model(model, tmp_path):
    train(GOOD[::-1], BAD[::-1], str(tmp_path / "again.bin"), share=0.2, dimensions=8)
    texts = pa.array(["the proof of a lemma", "click to buy", "", None])
    first, again = score(texts, model[0])["score"], score(texts, str(tmp_path / "again.bin"))["score"]
    assert first.to_pylist() == again.to_pylist()
    assert first[0].as_py() > first[1].as_py()
    assert first[3].as_py() is None


@pytest.fixture(scope="module")
def pipeline():
    texts = [*GOOD, *BAD]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1] * len(GOOD) + [0] * len(BAD))


@pytest.mark.parametrize("ending", ["joblib", "skops"])
def test_a_scikit_learn_pipeline_is_a_signal_by_its_path(pipeline, tmp_path, ending):
    path = str(tmp_path / f"m.{ending}")
    joblib.dump(pipeline, path) if ending == "joblib" else skops.io.dump(pipeline, path)
    texts = ["the proof of a lemma", "click to buy", "", None]
    scores = score(pa.array(texts), path)["score"].to_pylist()
    assert scores[:3] == pytest.approx(pipeline.predict_proba([text or "" for text in texts])[:3, 1].tolist())
    assert scores[3] is None
    assert score(pa.array(texts[:1]), f"{path}::0")["score"][0].as_py() == pytest.approx(1 - scores[0])
    with pytest.raises(RequestError, match="no label '2'; there are: 0, 1"):
        score(pa.array(texts), f"{path}::2")


def test_a_file_that_could_run_code_is_refused_where_it_claims_to_be_safe(pipeline, tmp_path):
    path = str(tmp_path / "m.skops")
    skops.io.dump(make_pipeline(FunctionTransformer(os.system), pipeline), path)
    with pytest.raises(RequestError, match="could run code"):
        score(pa.array(["text"]), path)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.bin").write_text("not a model")
    with pytest.raises(RequestError, match="no fastText model"):
        score(pa.array(["text"]), str(tmp_path / "m.bin"))
    with pytest.raises(RequestError, match="does not exist"):
        score(pa.array(["text"]), str(tmp_path / "none.bin"))


def test_another_label_of_a_fasttext_model_is_another_signal(model):
    texts = pa.array(["the proof of a lemma"])
    other = f"{model[0]}::negative"
    assert score(texts, model[0])["score"][0].as_py() + score(texts, other)["score"][0].as_py() == pytest.approx(
        1, abs=1e-3
    )
    assert model_checksum(model[0]) != model_checksum(other)


def test_copies_of_a_text_are_held_out_together():
    assert all(held_out(text, 0.3) == held_out("  " + text.upper().replace(" ", "\n"), 0.3) for text in GOOD)
    assert 0.2 < np.mean([held_out(text, 0.3) for text in GOOD]) < 0.4


def test_calibration_counts_every_score_once():
    scores, labels = np.array([0.0, 0.05, 0.1, 0.9, 1.0, 0.95]), np.array([0, 0, 1, 1, 1, 0], bool)
    table = judged(scores, labels).calibration
    assert [(row["from"], row["documents"]) for row in table] == [(0.0, 2), (0.1, 1), (0.9, 3)]


def test_too_few_texts_are_refused(tmp_path):
    with pytest.raises(RequestError, match="too few"):
        train(GOOD, BAD[:1], str(tmp_path / "m.bin"))


def test_a_model_is_a_signal_that_a_rule_decides_by(workspace, model, tmp_path):
    rules = tmp_path / "math.yaml"
    rules.write_text(
        "name: m\nrules:\n  - {rule: math, value: classifier_math.score, threshold: 0.99, keep: value >= threshold}\n"
    )
    settings = stage.FilterSettings(rules=str(rules), classifiers={"math": model[0]})
    stage.run_filter(workspace, settings, RunnerOptions(), quiet=True)
    rows = open_catalog(workspace).execute("select count(*), count(value) from decisions where not kept").fetchall()
    assert rows[0][0] == rows[0][1] > 0
    with pytest.raises(RequestError, match="no signal family 'classifier_math'"):
        stage.run_filter(workspace, stage.FilterSettings(rules=str(rules)), RunnerOptions(), quiet=True)


def test_the_command_trains_and_prints_what_it_saw(tmp_path):
    (tmp_path / "good.txt").write_text("\n".join(GOOD))
    (tmp_path / "bad.txt").write_text("\n".join(BAD))
    arguments = ["train-classifier", "--positive", str(tmp_path / "good.txt"), "--negative", str(tmp_path / "bad.txt")]
    result = CliRunner().invoke(
        load_command("filter"), [*arguments, "--output", str(tmp_path / "m.bin"), "--held-out", "0.2"]
    )
    assert result.exit_code == 0, result.output
    assert "ROC-AUC" in result.output
    assert (tmp_path / "m.bin").exists()


def test_the_command_filters_with_a_bundled_rule_set(workspace):
    result = CliRunner().invoke(
        load_command("filter"), ["--workspace", workspace.url, "--rules", "gopher", "--json"], obj={}
    )
    assert result.exit_code == 0, result.output
    assert '"kept": 1' in result.output
