"""Classifiers and URL lists as signals."""

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from gristmill.corpus.catalog import open_catalog
from gristmill.corpus.refusal import RequestError
from gristmill.filters.classifiers import held_out, judged, score, train
from gristmill.pipelines import filter as stage
from gristmill.pipelines.commands.filter import filter as command
from gristmill.pipelines.runner import RunnerOptions

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
    result = CliRunner().invoke(command, [*arguments, "--output", str(tmp_path / "m.bin"), "--held-out", "0.2"])
    assert result.exit_code == 0, result.output
    assert "ROC-AUC" in result.output
    assert (tmp_path / "m.bin").exists()


def test_the_command_filters_with_a_bundled_rule_set(workspace):
    result = CliRunner().invoke(command, ["--workspace", workspace.url, "--rules", "gopher", "--json"], obj={})
    assert result.exit_code == 0, result.output
    assert '"kept": 1' in result.output
