"""Duplicates in meaning and pruning by density."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.shards import open_shard
from gristmill.dedup.semantic import (
    FEWEST,
    Frame,
    assign,
    complexity,
    density_budget,
    fit_centroids,
    fit_frame,
    prototypes,
    semdedup,
    unit,
)
from gristmill.dedup.settings import SemanticSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.semantic.stage import semantic

from .conftest import files_of, name, put_documents, put_table

ONE = RunnerOptions()


def cloud(clusters: int, each: int, dimensions: int = 16, spread: float = 0.2, seed: int = 0):
    """Unit vectors around random directions, and which of these each is around."""
    rng = np.random.default_rng(seed)
    middles = unit(rng.normal(size=(clusters, dimensions)))
    label = np.repeat(np.arange(clusters), each)
    return unit(middles[label] + spread * rng.normal(size=(len(label), dimensions)) / dimensions**0.5), label


def test_centroids_find_what_the_vectors_gather_around_in_any_order():
    vectors, label = cloud(5, 40)
    rank = np.random.default_rng(1).permutation(len(vectors)).astype(np.uint64)
    found = fit_centroids(vectors, rank, 5, seed=1)
    cluster, distance = assign(vectors, found)
    assert all(len(set(cluster[label == k].tolist())) == 1 for k in range(5))
    assert distance.max() < 0.1
    order = np.random.default_rng(2).permutation(len(vectors))
    assert (fit_centroids(vectors[order], rank[order], 5, seed=1) == found).all()


def narrow(vectors: np.ndarray, shared: float = 12.0) -> np.ndarray:
    """The vectors as a weak model gives them: all in a narrow cone around one direction, spread along another."""
    rng = np.random.default_rng(7)
    one, other = np.linalg.qr(rng.normal(size=(vectors.shape[1], 2)))[0].T
    return unit(vectors + shared * one + 4 * rng.normal(size=(len(vectors), 1)) * other)


def test_vectors_in_a_narrow_cone_differ_once_what_they_share_is_gone():
    vectors, _ = cloud(40, 3, dimensions=32, spread=0.3)
    weak = narrow(vectors)
    rank = np.random.default_rng(3).permutation(len(weak)).astype(np.uint64)
    settings = SemanticSettings(components=1)
    found = fit_frame(weak, rank, settings).apply(weak)
    distance = np.zeros(len(weak))
    assert (semdedup(weak, distance, rank, 0.05, "random")[0] >= 0).mean() > 0.7
    assert (semdedup(found, distance, rank, 0.02, "random")[0] >= 0).mean() < 0.1
    cosines = found @ found.T
    assert abs(np.median(cosines[~np.eye(len(found), dtype=bool)])) < 0.1
    order = np.random.default_rng(4).permutation(len(weak))
    again = fit_frame(weak[order], rank[order], settings)
    assert (again.apply(weak) == found).all()


def test_a_frame_takes_exactly_the_mean_and_the_directions_away():
    frame = Frame(np.array([0.5, 0, 0], np.float32), np.array([[0, 1, 0]], np.float32))
    vectors = np.array([[3, 4, 0], [0, 0, 0], [0, 0, 2]], np.float32)
    expected = [[1, 0, 0], [0, 0, 0], unit(np.array([[-0.5, 0, 1]]))[0].tolist()]
    assert frame.apply(vectors) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("first", ["hard", "easy", "random"])
def test_whatever_semdedup_drops_has_a_kept_match_above_the_threshold(first):
    vectors, _ = cloud(30, 6, spread=0.25)
    _, distance = assign(vectors, fit_centroids(vectors, np.arange(180, dtype=np.uint64), 1, 1))
    rank = np.random.default_rng(3).permutation(180).astype(np.uint64)
    match, cosine = semdedup(vectors, distance, rank, 0.06, first)
    kept = match < 0
    assert 30 <= kept.sum() < 180
    assert kept[match[~kept]].all()
    exact = (unit(vectors)[~kept] * unit(vectors)[match[~kept]]).sum(axis=1)
    assert np.allclose(cosine[~kept], exact, atol=1e-6)
    assert (exact > 0.94).all()
    similar = unit(vectors)[kept] @ unit(vectors)[kept].T
    np.fill_diagonal(similar, -1)
    assert similar.max() <= 0.94 + 1e-6


def test_semdedup_is_the_same_in_blocks(monkeypatch):
    vectors, _ = cloud(30, 6, spread=0.25)
    distance, rank = np.zeros(180), np.random.default_rng(3).permutation(180).astype(np.uint64)
    whole = semdedup(vectors, distance, rank, 0.06, "random")
    monkeypatch.setattr("gristmill.dedup.semantic.BLOCK", 7)
    parts = semdedup(vectors, distance, rank, 0.06, "random")
    assert ((whole[0] < 0) == (parts[0] < 0)).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30), st.data())
def test_prototypes_keep_exactly_the_budget_and_the_share_of_each_cluster(rows, data):
    cluster = np.array([c for c, _ in rows])
    distance = np.array([d / 5 for _, d in rows])
    rank = np.arange(len(rows), dtype=np.uint64)
    keep = data.draw(st.integers(0, len(rows)))
    for first, sign in (("hard", -1), ("easy", 1)):
        stays = prototypes(distance, cluster, rank, keep, first, 0.5)
        assert stays.sum() == keep
        sizes = np.bincount(cluster)
        sure = np.minimum(sizes, int(0.5 * keep / len(sizes)))
        assert (np.bincount(cluster[stays], minlength=len(sizes)) >= sure).all()
        for c in set(cluster.tolist()):  # inside a cluster nothing kept is worse than what went
            mine, gone = sign * distance[(cluster == c) & stays], sign * distance[(cluster == c) & ~stays]
            assert not len(mine) or not len(gone) or mine.max() <= gone.min()


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_the_density_budget_solves_the_quadratic_programme(seed, clusters):
    import cvxpy

    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 60, clusters)
    keep = int(rng.integers(1, sizes.sum() + 1))
    complexities = rng.uniform(0, 1, clusters)
    least = int(0.5 * keep / clusters)
    found = density_budget(complexities, sizes, keep, 0.3, least)
    assert found.sum() == keep
    assert (found <= sizes).all()
    share = np.exp(complexities / 0.3)
    x = cvxpy.Variable(clusters)
    low = np.minimum(least, sizes - 1)
    programme = cvxpy.Problem(
        cvxpy.Minimize(cvxpy.sum_squares(x - keep * share / share.sum())), [cvxpy.sum(x) == keep, x >= low, x <= sizes]
    )
    programme.solve(solver=cvxpy.CLARABEL)
    assert np.abs(found - np.asarray(x.value)).max() < 1 + 1e-3  # rounding to whole documents


def test_a_spread_cluster_is_more_complex_than_a_tight_one_as_far_away():
    centroids = unit(np.eye(3, dtype=np.float32))
    cluster = np.repeat(np.arange(3), 10)
    found = complexity(np.repeat([0.1, 0.2, 0.4], 10), cluster, centroids)
    assert found == pytest.approx([0.1, 0.2, 0.4])


def workspace_with_vectors(corpus, shards=2, at="w", order=None):
    vectors, _ = cloud(4, 10, spread=0.3)
    vectors = np.concatenate([vectors, vectors[:5] + 1e-3])
    workspace = corpus([{"text": f"document {i}"} for i in range(46)], shards=shards, at=at, order=order)
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), 16))])
    rows = {name(i): vector.tolist() for i, vector in enumerate(vectors)}
    made = []
    for shard in workspace.table("documents").finished("test").shards:
        ids = [i for b in workspace.table("documents").read(["id"]) for i in b["id"].to_pylist() if i in rows]
        random.Random(0).shuffle(ids)
        with open_shard(workspace.table("scores/vectors").url, shard.name, schema) as out:
            out.write_rows([{"id": i, "embedding": rows[i]} for i in ids])
        made.append(out.shard)
    put_table(workspace, "scores/vectors", made)
    return workspace


def decisions(workspace):
    return {row["id"]: row for batch in workspace.table("decisions/semantic").read() for row in batch.to_pylist()}


def run(workspace, options=ONE, **settings):
    given = SemanticSettings(**{"table": "scores/vectors", "clusters": 4, "epsilon": 1e-4, **settings})
    return semantic(workspace, given, options, quiet=True)


def test_the_stage_drops_copies_in_meaning_and_records_their_match(corpus):
    workspace = workspace_with_vectors(corpus)
    summary = run(workspace)
    rows = decisions(workspace)
    lost = {i: row for i, row in rows.items() if not row["kept"]}
    assert summary["details"]["semdedup"] == 5
    assert lost.pop(name(45))["rule"] == "vector"  # has none
    assert len(lost) == 5
    for i, row in lost.items():
        pair = {i, row["duplicate_of"]}
        assert pair in [{name(k), name(40 + k)} for k in range(5)]
        assert row["value"] > row["threshold"] == pytest.approx(1 - 1e-4)


@pytest.mark.parametrize("prune", ["prototypes", "density"])
def test_pruning_keeps_the_share_asked_for_and_no_order_changes_it(corpus, prune):
    one = workspace_with_vectors(corpus, shards=1, at="one")
    other = workspace_with_vectors(corpus, shards=4, at="other", order=list(range(45, -1, -1)))
    for workspace in (one, other):
        run(workspace, prune=prune, share=0.4)
    assert decisions(one) == decisions(other)
    assert sum(row["kept"] for row in decisions(one).values()) == round(0.4 * 45)
    assert {row["rule"] for row in decisions(one).values()} == {None, "semdedup", "vector", prune}


def test_a_result_that_drops_most_documents_is_refused_and_decides_nothing(corpus):
    workspace = workspace_with_vectors(corpus)
    with pytest.raises(RequestError, match="of 46 documents have a cosine above"):
        run(workspace, centre=False, epsilon=1.9)
    assert workspace.table("decisions/semantic").manifest() is None
    run(workspace, centre=False, epsilon=1.9, most=1.0)
    assert sum(row["kept"] for row in decisions(workspace).values()) <= 4
    held = workspace.commit_of("semantic")
    with pytest.raises(RequestError, match="nothing was decided anew"):  # what is in force was asked for, and stays
        run(workspace, centre=False, epsilon=1.9)
    with pytest.raises(RequestError, match="nothing was decided anew"):
        run(workspace, centre=False, epsilon=1.8)
    assert workspace.commit_of("semantic") == held


@pytest.mark.slow
def test_centroids_stay_when_the_corpus_grows_and_go_when_other_vectors_come(corpus, tiny_model):
    def run(**more):
        settings = SemanticSettings(model=tiny_model, epsilon=1e-4, components=0, clusters=2)
        return semantic(workspace, settings, RunnerOptions(**more), quiet=True)

    workspace = corpus([{"text": text} for text in ("the cat sat on a mat", "tax law", "red wine", "a dog")])
    run()
    fitted = workspace.commit_of("centroids")
    put_documents(workspace, {"part-9.parquet": [{"id": name("x"), "text": "the dog sat on a red mat"}]})
    run()
    assert workspace.commit_of("centroids") == fitted
    assert name("x") in decisions(workspace)
    run(refit=True)
    assert workspace.commit_of("centroids").generation == 2
    commit = workspace.commit_of("embeddings")
    other = commit.model_copy(
        update={
            "generation": 9,
            "previous": commit.fingerprint,
            "inputs": {**commit.inputs, "file:model": "other"},
        }
    )
    workspace.put_commit(other)
    semantic(workspace, SemanticSettings(epsilon=1e-4, components=0, clusters=2), RunnerOptions(), quiet=True)
    assert workspace.commit_of("centroids").generation == 3


@pytest.mark.slow
def test_two_workers_decide_the_same_bytes(corpus):
    one, two = (workspace_with_vectors(corpus, at=at) for at in ("one", "two"))
    for workspace, workers in ((one, 1), (two, 2)):
        run(workspace, RunnerOptions(workers=workers), prune="density", share=0.4)
    assert files_of(one, "semantic", "decisions/semantic") == files_of(two, "semantic", "decisions/semantic")


@pytest.mark.parametrize("crash", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_crash_anywhere_is_completed_by_the_same_command(corpus, crashing, crash):
    whole, crashed = (workspace_with_vectors(corpus, at=at) for at in ("whole", "crashed"))
    run(whole, prune="prototypes", share=0.4)
    with crashing(crash), pytest.raises(BaseException, match="killed"):
        run(crashed, prune="prototypes", share=0.4)
    run(crashed, prune="prototypes", share=0.4)
    assert files_of(crashed, "semantic", "decisions/semantic") == files_of(whole, "semantic", "decisions/semantic")


def test_a_model_makes_the_vectors_of_what_enters(corpus, tiny_model):
    rows = [{"text": text} for text in ("the cat sat on a mat", "the cat sat on a mat", "tax law", "", "red wine")]
    workspace = corpus(rows)
    semantic(
        workspace,
        SemanticSettings(model=tiny_model, epsilon=1e-4, components=0, clusters=1),
        RunnerOptions(),
        quiet=True,
    )
    rules = {i: row["rule"] for i, row in decisions(workspace).items()}
    assert rules[name(3)] == "vector"
    assert sorted(str(rules[name(i)]) for i in range(2)) == ["None", "semdedup"]
    assert rules[name(2)] is rules[name(4)] is None
    with pytest.raises(RequestError, match="no such file"):
        semantic(workspace, SemanticSettings(model="gone.safetensors"), RunnerOptions(), quiet=True)


@pytest.mark.parametrize("count", range(2, 40))
def test_unlike_vectors_are_kept_or_refused_as_too_few_however_few_there_are(count):
    rng = np.random.default_rng(count)
    shared = rng.normal(size=16)
    vectors = (shared + 0.5 * rng.normal(size=(count, 16))).astype(np.float32)
    asked, rank = SemanticSettings(), np.arange(count, dtype=np.uint64)
    if count < FEWEST + 1:
        with pytest.raises(RequestError, match=f"{count} documents are too few"):
            fit_frame(vectors, rank, asked)
        return
    framed = fit_frame(vectors, rank, asked).apply(vectors)
    assert np.triu(framed @ framed.T, 1).max() < 1 - asked.epsilon


@pytest.mark.parametrize("components", [9, 16, 200])
def test_directions_that_leave_little_of_the_vectors_are_refused(components):
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    rank = np.arange(300, dtype=np.uint64)
    assert len(fit_frame(vectors, rank, SemanticSettings(components=8)).directions) == 8
    with pytest.raises(RequestError, match="more than half"):
        fit_frame(vectors, rank, SemanticSettings(components=components))


def test_a_single_document_has_nothing_to_be_compared_with():
    one = np.ones((1, 16), np.float32)
    assert not fit_frame(one, np.zeros(1, np.uint64), SemanticSettings()).directions.size


def test_without_vectors_it_says_how_to_have_some(corpus):
    with pytest.raises(RequestError, match="give --model FILE"):
        semantic(corpus([{"text": "x"}]), SemanticSettings(), RunnerOptions(), quiet=True)


def test_a_table_or_column_that_is_not_there_is_refused(corpus):
    workspace = workspace_with_vectors(corpus)
    with pytest.raises(RequestError, match="did you mean scores/vectors"):
        run(workspace, table="scores/vector")
    with pytest.raises(RequestError, match="did you mean embedding"):
        run(workspace, column="embeddings")
    with pytest.raises(RequestError, match="nothing would be dropped"):
        run(workspace, epsilon=None)
