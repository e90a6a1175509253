"""The score and select stages on a workspace: what they write, what they refuse, what changes nothing."""

import duckdb
import pytest
import torch

from gristmill.corpus import processors
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import read_kept
from gristmill.corpus.store.shards import read_batches
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.progress import Note, Progress
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.score import stage as score_module
from gristmill.pipelines.stages.score.stage import score
from gristmill.pipelines.stages.select.stage import SelectSettings, select
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.model_files import ProxyModel
from gristmill.proxy_models.scoring.color import ColorSettings, fit_color
from gristmill.proxy_models.scoring.sampling import Samples
from gristmill.proxy_models.scoring.scorers import ScoreSettings
from gristmill.training.data.tokenizer import token_facts, train_tokenizer
from gristmill.training.transformer import Transformer, TransformerConfig

torch.set_num_threads(1)
DOCUMENTS = [
    {"id": f"{(i * 7919) % 1000003:032x}", "domain": domain, "text": text.format(i)}
    for i in range(12)
    for domain, text in (
        ("law", "The council shall approve section {} of the act. The mayor signs the act into law."),
        ("chat", "hey did you try sudo apt install foo{} ? it works here lol, thanks a lot man"),
    )
]
for place, document in enumerate(DOCUMENTS):
    document["id"] = f"{(place * 7919 + 13) % 1000003:032x}"
EMPTY = {"id": "f" * 32, "domain": "chat", "text": ""}
DSIR = ScoreSettings(method="dsir", targets=("law",))
ONE = RunnerOptions()


def shards_of(documents, size):
    ordered = sorted(documents, key=lambda document: document["id"])
    return {f"{i // size:04d}.parquet": ordered[i : i + size] for i in range(0, len(ordered), size)}


def rows_of(workspace, table, columns=None):
    found = []
    for shard in workspace.table(table).finished("test").shards:
        for batch in read_batches(workspace.table(table).shard_url(shard.name), columns):
            found += batch.to_pylist()
    return sorted(found, key=lambda row: row["id"])


def chosen(workspace, settings):
    run_stage(select, workspace, settings, ONE, quiet=True)
    return rows_of(workspace, "decisions/select")


@pytest.fixture
def models(tmp_path):
    """A tokenizer and two tiny models on disk, as the settings of a pair."""
    tokenizer = train_tokenizer([document["text"] for document in DOCUMENTS], 300)
    facts = token_facts(tokenizer)
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    named = {}
    for seed, name in enumerate("ab"):
        transformer = Transformer(TransformerConfig(1, 16, 2, 2, 24, facts.vocab_size, max_len=16), seed)
        with torch.no_grad():
            transformer.head_weight.mul_(20)
        (tmp_path / f"{name}.safetensors").write_bytes(ProxyModel(transformer, facts.tokenizer).to_bytes())
        named[name] = str(tmp_path / f"{name}.safetensors")
    return {"models": named, "tokenizer": str(tmp_path / "tokenizer.json"), "chunk_tokens": 8}


def test_scores_and_decisions_do_not_depend_on_shards_and_a_second_run_does_nothing(make_documents):
    small = make_documents(shards_of([*DOCUMENTS, EMPTY], 5), "small")
    large = make_documents(shards_of([*DOCUMENTS, EMPTY], 100), "large")
    for workspace in (small, large):
        score(workspace, DSIR, ONE, quiet=True)
    assert rows_of(small, "scores/dsir") == rows_of(large, "scores/dsir")
    settings = SelectSettings(by=("dsir",), share=0.3)
    decisions = chosen(small, settings)
    assert decisions == chosen(large, settings)
    kept = {row["id"] for row in decisions if row["kept"]}
    domains = {document["id"]: document["domain"] for document in DOCUMENTS}
    assert {domains[id] for id in kept} == {"law"}
    assert score(small, DSIR, ONE, quiet=True)["skipped"]


@pytest.mark.slow
def test_two_worker_processes_write_the_bytes_of_one(make_documents):
    sums = []
    for workers in (1, 2):
        workspace = make_documents(shards_of(DOCUMENTS, 8), f"by {workers}")
        score(workspace, DSIR, RunnerOptions(workers=workers), quiet=True)
        sums.append([shard.checksum for shard in workspace.table("scores/dsir").finished("test").shards])
    assert sums[0] == sums[1]


def test_a_document_without_a_score_is_dropped_and_every_row_says_why(make_documents):
    workspace = make_documents(shards_of([*DOCUMENTS, EMPTY], 10))
    score(workspace, DSIR, ONE, quiet=True)
    rows = chosen(workspace, SelectSettings(by=("dsir",), threshold=0.0))
    by_id = {row["id"]: row for row in rows}
    assert by_id[EMPTY["id"]]["rule"] == "unscored"
    assert not by_id[EMPTY["id"]]["kept"]
    for own in rows_of(workspace, "scores/dsir"):
        row = by_id[own["id"]]
        assert row["kept"] == (own["score"] is not None and own["score"] >= 0)
        if not row["kept"] and own["score"] is not None:
            assert (row["rule"], row["value"], row["threshold"]) == ("dsir", own["score"], 0.0)
    counts = workspace.table("decisions/select").finished("test").counts
    assert counts["in"] == counts["kept"] + counts["dropped"] == len(DOCUMENTS) + 1
    for beside in ((), ("dsir",)):
        asked = SelectSettings(by=("dsir",), threshold=1e9, compare=beside)
        with pytest.raises(RequestError, match=r"no score is 1e\+09 or above.*the largest is"):
            run_stage(select, workspace, asked, ONE, force=True, quiet=True)
    assert workspace.table("decisions/select").finished("test").counts == counts


def test_scores_are_columns_of_one_view(make_documents, models):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    score(workspace, DSIR, ONE, quiet=True)
    score(workspace, ScoreSettings(method="pair", **models), ONE, quiet=True)
    with duckdb.connect(f"{workspace.url}/catalog.duckdb") as connection:
        query = "select count(*), count(dsir.score), max(abs(pair.score - pair.nll_a + pair.nll_b)) from scores"
        assert connection.execute(query).fetchone() == (24, 24, 0.0)


def test_a_killed_scoring_goes_on_with_the_shards_that_are_missing(make_documents, monkeypatch):
    workspace = make_documents(shards_of(DOCUMENTS, 6))
    real, done = score_module.score_shard, []

    def dying(plan, work, scorer):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(work.name)
        return real(plan, work, scorer)

    monkeypatch.setattr(score_module, "score_shard", dying)
    with pytest.raises(BaseException):  # noqa: B017, PT011 (Beam wraps what a worker raised)
        score(workspace, DSIR, ONE, quiet=True)
    again = []

    def counting(plan, work, scorer):
        again.append(work.name)
        return real(plan, work, scorer)

    monkeypatch.setattr(score_module, "score_shard", counting)
    score(workspace, DSIR, ONE, quiet=True)
    assert sorted(done + again) == sorted(shard.name for shard in workspace.table("documents").finished("t").shards)
    whole = make_documents(shards_of(DOCUMENTS, 6), "whole")
    score(whole, DSIR, ONE, quiet=True)
    sums = [{s.name: s.checksum for s in w.table("scores/dsir").finished("t").shards} for w in (workspace, whole)]
    assert sums[0] == sums[1]


def test_selected_chunks_leave_the_rest_of_the_text_behind(make_documents, models):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    score(workspace, ScoreSettings(method="pair", **models), ONE, quiet=True)
    rows = {row["id"]: row for row in rows_of(workspace, "scores/pair")}
    tokens = sum(row["n_tokens"] for row in rows.values())
    decisions = chosen(workspace, SelectSettings(by=("pair",), share=0.4, unit="chunks"))
    scores = sorted((c["nll_a"] - c["nll_b"], c["n_tokens"]) for row in rows.values() for c in row["chunks"])[::-1]
    budget, cut = 0.4 * tokens, None
    for value, size in scores:
        budget -= size
        if budget < 0:
            break
        cut = value
    texts = {}
    for shard in workspace.table("documents").finished("test").shards:
        for batch in read_kept(workspace, shard.name, ["id", "text"]):
            texts.update(zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    originals = {document["id"]: document["text"] for document in DOCUMENTS}
    for row in decisions:
        own = rows[row["id"]]["chunks"]
        starts = [0, *(chunk["end"] for chunk in own)]
        expected = "".join(
            originals[row["id"]][start : chunk["end"]]
            for start, chunk in zip(starts, own, strict=False)
            if chunk["nll_a"] - chunk["nll_b"] >= cut
        )
        assert row["kept"] == bool(expected)
        assert texts.get(row["id"], "") == expected
    assert any(row["kept"] and texts[row["id"]] != originals[row["id"]] for row in decisions)


def test_the_report_says_how_far_methods_agree(make_documents, models):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    score(workspace, DSIR, ONE, quiet=True)
    score(workspace, ScoreSettings(method="zipfit", targets=("law",)), ONE, quiet=True)
    settings = SelectSettings(by=("dsir",), share=0.5, compare=("zipfit", "dsir.log_weight"))
    report = run_stage(select, workspace, settings, ONE, quiet=True)["details"]
    assert report["overlap"]["zipfit"] > 0.9
    assert report["selected"] <= 0.5 * report["available"]


def test_what_cannot_be_selected_is_refused_before_anything_runs(make_documents, models):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    score(workspace, DSIR, ONE, quiet=True)
    score(workspace, ScoreSettings(method="pair", **models), ONE, quiet=True)
    for settings, said in (
        (SelectSettings(by=("dsr",), share=0.1), "no score 'dsr'; did you mean dsir"),
        (SelectSettings(by=("dsir.scor",), share=0.1), "no column 'scor'; did you mean score"),
        (SelectSettings(by=("dsir",), tokens=10), "does not count tokens"),
        (SelectSettings(by=("pair",), tokens=10**9), "nothing is repeated"),
        (SelectSettings(by=("dsir",), share=0.5, unit="chunks"), "has no chunks"),
        (SelectSettings(by=("dsir.id",), share=0.5), "string in the column id, which is no score"),
        (SelectSettings(by=("pair.chunks",), share=0.5), "in the column chunks, which is no score"),
        (SelectSettings(by=("dsir",), share=1e-9), "nothing fits into a budget"),
    ):
        with pytest.raises(RequestError, match=said):
            run_stage(select, workspace, settings, ONE, quiet=True)
    with pytest.raises(ValueError, match="exactly one of share, tokens and threshold"):
        SelectSettings(by=("dsir",))
    for asked in (
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"share": 0.5, "temperature": float("inf")},
    ):
        with pytest.raises(ValueError, match="finite number"):
            SelectSettings(by=("dsir",), **asked)


def test_two_targets_of_one_column_are_refused(make_documents, tmp_path):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.txt").write_text("some words")
    files = tuple(str(tmp_path / folder / "t.txt") for folder in ("a", "b"))
    with pytest.raises(RequestError, match="both would be the column t"):
        score(workspace, ScoreSettings(method="dsir", targets=files), ONE, quiet=True)


def test_scores_of_other_documents_are_refused(make_documents):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    score(workspace, DSIR, ONE, quiet=True)
    changed = [*DOCUMENTS[1:], DOCUMENTS[0] | {"text": "something else"}]
    workspace = make_documents(shards_of(changed, 10))
    with pytest.raises(
        WorkspaceError, match="scores/dsir/, which was made before documents changed; run: gristmill score dsir"
    ):
        run_stage(select, workspace, SelectSettings(by=("dsir",), share=0.1), ONE, quiet=True)


def test_an_unknown_target_lists_the_domains(make_documents):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    with pytest.raises(Exception, match="no domain 'lwa'; did you mean law"):
        score(workspace, ScoreSettings(method="dsir", targets=("lwa",)), ONE, quiet=True)


def test_a_fit_says_how_far_it_has_come_and_leaves_no_trace_of_it(make_documents, tmp_path):
    workspace = make_documents(shards_of(DOCUMENTS, 10))
    progress = Progress("score", workspace, "proxies/color", None, quiet=True)
    with Note(workspace, "proxies/color") as tell:
        tell("training the prior, step 3 of 9")
        tell("said too soon after")
        assert progress.line() == "score: training the prior, step 3 of 9"
    assert progress.line().startswith("score: 0 shards")


def test_color_tells_of_every_step_of_both_models():
    told = []
    shape = FleetSettings(n_layers=1, d_model=8, n_heads=2, d_ff=8, seq_len=16, sequences=2, steps=3, warmup=1,
                          evaluations=1, execution="stacked")  # fmt: skip
    texts = [document["text"] for document in DOCUMENTS]
    settings = ColorSettings(prior=shape, vocab_size=300, conditional_steps=2)
    fit_color(Samples(texts, {"law": texts}), settings, 0, tell=told.append)
    assert told[0] == "training the prior, step 1 of 3"
    assert told[-1] == "training the conditional, step 2 of 2"


def test_a_table_says_on_what_kinds_of_processors_it_was_computed_and_audit_tells_of_several(
    make_documents, monkeypatch
):
    shards = shards_of(DOCUMENTS, 10)
    workspace = make_documents(shards)
    monkeypatch.setitem(score_module.BETWEEN_PROCESSORS, "dsir", 3e-6)
    monkeypatch.setattr(processors, "kind", lambda: "x86_64 avx2")
    assert not any("processor" in name for name in score(workspace, DSIR, ONE, quiet=True)["tables"]["scores/dsir"])
    assert processors.kinds(workspace.table("scores/dsir").finished("test").counts) == {"x86_64 avx2": 3}
    assert audit(workspace)["notes"] == []
    monkeypatch.setattr(processors, "kind", lambda: "x86_64 avx2 avx512f")
    name, *others = sorted(shards)
    document = {"id": "e" * 32, "domain": "law", "text": "The mayor signs one act more."}
    workspace = make_documents({name: [*shards[name], document], **{other: shards[other] for other in others}})
    score(workspace, DSIR, ONE, quiet=True)
    found = processors.kinds(workspace.table("scores/dsir").finished("test").counts)
    assert found == {"x86_64 avx2": 2, "x86_64 avx2 avx512f": 1}
    (note,) = [line for line in audit(workspace)["notes"] if line.startswith("scores/dsir")]
    assert "2 shards on x86_64 avx2; 1 shards on x86_64 avx2 avx512f" in note
    assert "by up to 3e-06" in note
