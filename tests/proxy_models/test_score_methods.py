"""Every scoring method against its definition, written out plainly; a larger score is better in all of them."""

import json
import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.model_files import ProxyModel
from gristmill.proxy_models.scoring.color import ColorSettings, fit_color
from gristmill.proxy_models.scoring.dsir import BUCKETS, Dsir, WordHashes, fit_dsir, n_grams, open_dsir
from gristmill.proxy_models.scoring.embeddings import Embedder, fit_rds, open_rds
from gristmill.proxy_models.scoring.pair import ScorePair, fit_pair, open_pair
from gristmill.proxy_models.scoring.reader import reader
from gristmill.proxy_models.scoring.sampling import Samples, read_target
from gristmill.proxy_models.scoring.scorers import ScoreSettings
from gristmill.proxy_models.scoring.token_losses import token_losses
from gristmill.proxy_models.scoring.transport import costs, fit_transport, open_transport, sinkhorn, soft_minimum
from gristmill.proxy_models.scoring.zipfit import ZipfitSettings, fit_zipfit, open_zipfit, pieces
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.transformer import Transformer, TransformerConfig

torch.set_num_threads(1)
LAW = [f"The council shall approve section {i} of the act before the mayor signs it into law." for i in range(30)]
CHAT = [f"hey did you try sudo apt install foo{i} ? it works here lol thanks" for i in range(30)]
TOKENIZER = train_tokenizer(LAW + CHAT, 300)
FACTS = token_facts(TOKENIZER)
START = FACTS.bos


def make_model(seed: int, d_model: int = 16) -> ProxyModel:
    config = TransformerConfig(1, d_model, 2, 2, 24, FACTS.vocab_size, max_len=16)
    transformer = Transformer(config, seed)
    with torch.no_grad():
        for weight in transformer.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * 0.2)
    seen = np.random.default_rng(seed).integers(0, 50, FACTS.vocab_size)
    return ProxyModel(transformer.requires_grad_(False), FACTS.tokenizer, seen)


A, B = make_model(1), make_model(2, 24)
chunks = st.lists(st.lists(st.integers(2, 299), min_size=1, max_size=12).map(np.array), min_size=1, max_size=9)


def log_probabilities(model: ProxyModel, tokens: np.ndarray) -> torch.Tensor:
    ids = torch.tensor([[START, *tokens[:-1].tolist()]])
    return torch.log_softmax(model.transformer.logits(ids)[0], -1)


@given(chunks, st.integers(1, 60))
def test_losses_are_those_of_each_chunk_alone_whatever_shares_its_batch(rows, budget):
    told = token_losses({"a": reader(A.transformer), "b": reader(B.transformer)}, rows, START, budget, details=True)
    for name, model in (("a", A), ("b", B)):
        for statistic, reference in zip(
            (told[name].nll, told[name].mean, told[name].spread),
            zip(*(by_definition(model, row) for row in rows), strict=True),
            strict=True,
        ):
            np.testing.assert_allclose(statistic, np.concatenate(reference), atol=2e-4)
        least, most = (np.concatenate([rank(model, row, by) for row in rows]) for by in (1e-5, -1e-5))
        assert (least <= told[name].rank).all()  # entries as likely as rounding tells may count or not
        assert (told[name].rank <= most).all()


def rank(model: ProxyModel, row: np.ndarray, by: float) -> np.ndarray:
    """How many entries are likelier than each token by more than `by` nats, the token itself left out."""
    logp = log_probabilities(model, row).double().numpy()
    own = logp[np.arange(len(row)), row]
    return (logp > own[:, None] + by).sum(1) - (by < 0)


def by_definition(model: ProxyModel, row: np.ndarray) -> tuple[np.ndarray, ...]:
    """Loss, mean and deviation of log p of each token."""
    logp = log_probabilities(model, row).double().numpy()
    own = logp[np.arange(len(row)), row]
    mean = (np.exp(logp) * logp).sum(1)
    spread = np.sqrt((np.exp(logp) * (logp - mean[:, None]) ** 2).sum(1))
    return -own, mean, spread


def test_a_pair_scores_by_the_difference_of_mean_losses_and_chunks_add_up_to_documents():
    texts = [LAW[0], CHAT[1] * 3, "", "x"]
    rows = pairs(texts, details=True)
    encode = load_tokenizer(TOKENIZER).encode
    for text, row in zip(texts, rows, strict=True):
        tokens = np.array(encode(text, add_special_tokens=False).ids)
        assert row["n_tokens"] == len(tokens)
        if not text:
            assert row["score"] is None
            assert row["chunks"] == []
            continue
        parts = [tokens[i : i + 8] for i in range(0, len(tokens), 8)]
        nll = {n: np.concatenate([by_definition(m, p)[0] for p in parts]) for n, m in (("a", A), ("b", B))}
        assert row["nll_a"] == pytest.approx(nll["a"].mean(), rel=1e-4)
        assert row["perplexity_b"] == pytest.approx(math.exp(nll["b"].mean()), rel=1e-3)
        assert row["score"] == pytest.approx(nll["a"].mean() - nll["b"].mean(), abs=1e-4)
        assert row["excess"] == pytest.approx(np.maximum(nll["a"] - nll["b"], 0).mean(), abs=1e-4)
        assert [chunk["n_tokens"] for chunk in row["chunks"]] == [len(part) for part in parts]
        assert row["chunks"][-1]["end"] == len(text)
        total = sum(chunk["nll_b"] * chunk["n_tokens"] for chunk in row["chunks"])
        assert total == pytest.approx(nll["b"].sum(), rel=1e-4)


def pairs(texts: list[str], **settings) -> list[dict]:
    scorer = ScorePair(TOKENIZER, {"a": A, "b": B}, chunk_tokens=8, **settings)
    return [row for batch in scorer.score([f"{i}" for i in range(len(texts))], texts) for row in batch.to_pylist()]


def test_learnability_min_k_and_dc_pdd_are_their_papers_formulas():
    row = pairs([LAW[3]], details=True)[0]
    tokens = np.array(load_tokenizer(TOKENIZER).encode(LAW[3], add_special_tokens=False).ids)
    parts = [by_definition(A, tokens[i : i + 8]) for i in range(0, len(tokens), 8)]
    nll, mean, spread = (np.concatenate(column) for column in zip(*parts, strict=True))
    ranks = np.concatenate([rank(A, tokens[i : i + 8], 0) for i in range(0, len(tokens), 8)])
    standing = np.sort((-nll - mean) / spread)
    assert row["min_k_a"] == pytest.approx(standing[: max(1, int(0.2 * len(tokens)))].mean(), rel=1e-3)
    assert row["learnability_a"] == (
        pytest.approx(np.median(nll[ranks < 10]), rel=1e-3) if (ranks < 10).any() else None
    )
    frequency = (A.tokens_seen + 1) / (A.tokens_seen.sum() + len(A.tokens_seen))
    first = [i for i in range(len(tokens)) if tokens[i] not in tokens[:i]]
    terms = [min(math.exp(-nll[i]) * math.log(1 / frequency[tokens[i]]), 0.01) for i in first]
    assert row["dc_pdd_a"] == pytest.approx(np.mean(terms), rel=1e-3)


def test_a_chunks_end_cuts_the_text_where_its_tokens_end():
    text = CHAT[0] + " \u00e9t\u00e9 \U0001f600 " + LAW[0]
    ends = [chunk["end"] for chunk in pairs([text])[0]["chunks"]]
    assert ends == sorted(ends)
    assert "".join(text[a:b] for a, b in zip([0, *ends], ends, strict=False)) == text


def test_models_survive_their_file_and_strangers_are_refused():
    again = ProxyModel.from_bytes(A.to_bytes())
    ids = torch.tensor([[1, 5, 9]])
    assert torch.equal(again.transformer.logits(ids), A.transformer.logits(ids))
    assert (again.tokens_seen == A.tokens_seen).all()
    with pytest.raises(RequestError, match="not a safetensors file"):
        ProxyModel.from_bytes(b"hello", "this")
    stranger = ProxyModel(A.transformer, "0" * 64)
    with pytest.raises(RequestError, match="losses of different tokens cannot be compared"):
        fit_pair(TOKENIZER, {"a": A.to_bytes(), "b": stranger.to_bytes()}, 8, False)
    silent = ScorePair(TOKENIZER, {"a": ProxyModel(A.transformer, FACTS.tokenizer)}, 8, True)  # not what it has seen
    row = next(iter(silent.score(["x"], ["some words of a text"]))).to_pylist()[0]
    assert row["dc_pdd_a"] is None
    assert row["min_k_a"] is not None
    with pytest.raises(RequestError, match="reads 16 tokens, chunk_tokens is 99"):
        fit_pair(TOKENIZER, {"a": A.to_bytes()}, 99, False)


def test_color_prefers_text_like_the_target():
    prior = ColorSettings().prior.model_copy(
        update={"d_model": 16, "n_heads": 2, "d_ff": 32, "seq_len": 16, "sequences": 4, "steps": 30, "warmup": 3}
    )
    settings = ColorSettings(prior=prior, conditional_passes=4.0, conditional_lr=3e-3)
    scorer = open_pair(fit_color(Samples(LAW + CHAT, {"law": LAW[:20]}), settings, 0, TOKENIZER))
    scores = next(iter(scorer.score([str(i) for i in range(20)], LAW[20:] + CHAT[20:])))["score"].to_numpy()
    assert scores[:10].min() > scores[10:].max()


# ---- DSIR


def test_n_grams_are_words_and_pairs_of_neighbours():
    buckets, words = n_grams("To be, or not to BE", WordHashes())
    assert words == 7  # the comma is a word
    assert len(buckets) == 13
    assert len(set(buckets[:7].tolist())) == 5  # to and be twice each, whatever their case
    assert buckets[7] == buckets[12] or buckets[7] != buckets[8]


def test_dsir_is_the_log_ratio_of_smoothed_bags():
    target, corpus = ["a b a"], ["a c", "c c"]
    scorer = open_dsir(fit_dsir(Samples(corpus, {"t": target})))

    def bag(texts):
        counts = np.ones(BUCKETS)
        for text in texts:
            for bucket in n_grams(text, WordHashes())[0]:
                counts[bucket] += 1
        return counts / counts.sum()

    expected = np.log(bag(target)) - np.log(bag(corpus))
    row = next(iter(scorer.score(["1"], ["b a"]))).to_pylist()[0]
    assert row["log_weight"] == pytest.approx(sum(expected[bucket] for bucket in n_grams("b a", WordHashes())[0]))
    assert row["score"] == pytest.approx(row["log_weight"] / 3)
    assert next(iter(Dsir(expected).score(["1"], [" "]))).to_pylist()[0]["score"] is None


# ---- ZIP-FIT


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4), st.text(min_size=1, max_size=60))
def test_zipfit_is_one_minus_the_mean_normalised_compression_distance(examples, text):
    settings = ZipfitSettings(examples=4, piece_bytes=1024, level=6)
    scorer = open_zipfit(fit_zipfit(Samples(targets={"t": examples}), settings))

    def size(data):
        return len(zlib.compress(data, 6))

    y = text.encode()
    expected = []
    for x in (example.encode() for example in examples):
        expected.append(1 - (size(x + y) - min(size(x), size(y))) / max(size(x), size(y)))
    assert zip_scores(scorer, text)[0] == pytest.approx(np.mean(expected))


def zip_scores(scorer, *texts: str) -> list[float]:
    return next(iter(scorer.score([str(i) for i in range(len(texts))], texts)))["score"].to_pylist()


def test_zipfit_sees_the_example_behind_texts_longer_than_the_window_of_deflate():
    scorer = open_zipfit(fit_zipfit(Samples(targets={"law": [" ".join(LAW)]}), ZipfitSettings()))
    noise = np.random.default_rng(0).integers(33, 127, 40_000, np.uint8).tobytes().decode()
    once, after, only_noise = zip_scores(scorer, " ".join(LAW), noise + " ".join(LAW) * 18, noise)
    assert after - only_noise > 0.25 * (once - only_noise)  # in one stream the noise alone would fill the window


def test_zipfit_says_of_a_long_text_what_it_says_of_a_piece_of_it():
    scorer = open_zipfit(fit_zipfit(Samples(targets={"law": [" ".join(LAW * 2)]}), ZipfitSettings(piece_bytes=2048)))
    piece = " ".join(LAW)[:2048]
    short, long = zip_scores(scorer, piece, piece * 30)
    assert long == pytest.approx(short, abs=0.05)


@given(st.binary(max_size=3000), st.integers(64, 500))
def test_pieces_are_the_whole_text_in_nearly_equal_parts(data, size):
    own = pieces(data, size)
    assert b"".join(own) == data
    assert all(0 < len(piece) <= size for piece in own)
    assert not own or max(map(len, own)) - min(map(len, own)) <= 1


def test_zipfit_takes_examples_from_targets_in_turn_and_refuses_to_store():
    samples = Samples(targets={"a": ["a1", "a2", "a3"], "b": ["b1"]})
    told = json.loads(fit_zipfit(samples, ZipfitSettings(examples=3))["examples.json"])
    assert told["examples"] == ["a1", "b1", "a2"]
    with pytest.raises(ValueError, match="level"):
        ZipfitSettings(level=0)


# ---- embeddings and transport


def test_an_embedding_is_the_position_weighted_mean_and_knows_no_neighbour():
    embedder = Embedder(TOKENIZER, A)
    together = embedder.embed([LAW[0], "hey", "", CHAT[0]])
    for text, vector in zip([LAW[0], "hey", "", CHAT[0]], together, strict=True):
        tokens = load_tokenizer(TOKENIZER).encode(text, add_special_tokens=False).ids[:15]
        if not tokens:
            assert not vector.any()
            continue
        hidden = A.transformer(torch.tensor([[START, *tokens]]))[0, 1:].numpy()
        weights = np.arange(1, len(tokens) + 1) / np.arange(1, len(tokens) + 1).sum()
        mean = weights @ hidden
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_rds_scores_by_the_nearest_query_of_each_target():
    scorer = open_rds(fit_rds(Samples(targets={"law": LAW[:5], "chat": CHAT[:5]}), TOKENIZER, A.to_bytes(), 3))
    rows = next(iter(scorer.score(["1", "2", "3"], [LAW[0], CHAT[9], ""]))).to_pylist()
    vectors = Embedder(TOKENIZER, A).embed([*LAW[:3], CHAT[9]])
    assert rows[0]["score_law"] == pytest.approx(1.0, abs=1e-5)
    assert rows[1]["score_law"] == pytest.approx((vectors[3] @ vectors[:3].T).max(), abs=1e-5)
    assert rows[1]["score"] == max(rows[1]["score_law"], rows[1]["score_chat"])
    assert rows[2]["score"] is None


def test_sinkhorn_finds_potentials_whose_plan_has_the_right_margins():
    rng = np.random.default_rng(0)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (rng.normal(size=(30, 4)), rng.normal(size=(7, 4))))
    cost, epsilon = costs(a, b), 0.1
    g = sinkhorn(cost, epsilon)
    f = soft_minimum(cost, g, epsilon)
    plan = np.exp((f[:, None] + g - cost) / epsilon) / (30 * 7)
    np.testing.assert_allclose(plan.sum(1), 1 / 30, atol=1e-6)
    np.testing.assert_allclose(plan.sum(0), 1 / 7, atol=1e-5)


def test_the_score_of_transport_is_how_fast_the_distance_falls_as_a_document_gains_weight():
    rng = np.random.default_rng(2)
    corpus, target, more = (
        v / np.linalg.norm(v, axis=1, keepdims=True) for v in (rng.normal(size=(n, 4)) for n in (12, 6, 5))
    )

    def distance(points: np.ndarray) -> float:  # of the dual of entropic transport, equal weights on both sides
        cost = costs(points, target)
        g = sinkhorn(cost, 0.2, 1e-9)
        return soft_minimum(cost, g, 0.2).mean() + g.mean()

    cost = costs(corpus, target)
    g = sinkhorn(cost, 0.2, 1e-9)
    center = soft_minimum(cost, g, 0.2).mean()
    weight = np.repeat(corpus, 160, axis=0)
    before = distance(weight)
    for document in more:
        gradient = (distance(np.vstack([weight, document])) - before) * (len(weight) + 1)
        assert center - soft_minimum(costs(document[None], target), g, 0.2)[0] == pytest.approx(-gradient, abs=3e-3)


def test_transport_prefers_what_moves_the_corpus_towards_the_target():
    scorer = open_transport(
        fit_transport(Samples(CHAT + LAW[:3], {"law": LAW[3:10]}), TOKENIZER, A.to_bytes(), 99, 0.1)
    )
    scores = next(iter(scorer.score(["1", "2"], [LAW[20], CHAT[5]])))["score"].to_pylist()
    assert scores[0] > scores[1]


# ---- targets and settings


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"no": 1}\n', "line 2 has no"),
        ("a.txt", b"\n\n", "no text in it"),
    ],
)
def test_a_target_file_that_is_not_one_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=said):
        read_target(str(tmp_path / name), 0, 100)


def test_a_target_file_gives_the_same_sample_every_time_up_to_its_cap(tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": f"text {i:03d}"}) + "\n" for i in range(50)))
    taken = read_target(str(tmp_path / "t.jsonl"), 3, 80)
    assert len(taken) == 10
    assert taken == read_target(str(tmp_path / "t.jsonl"), 3, 1000)[:10]


def test_a_method_without_what_it_needs_is_refused():
    with pytest.raises(RequestError, match="score dsir needs a --target"):
        ScoreSettings(method="dsir").checked()
    with pytest.raises(RequestError, match="score pair takes 2 --model NAME=FILE, got 1"):
        ScoreSettings(method="pair", models={"a": "x"}).checked()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_losses_on_a_gpu_are_those_of_a_cpu():
    rows = [np.arange(2, 14), np.arange(5, 9)]
    on_cpu = token_losses({"a": reader(A.transformer)}, rows, START, details=True)["a"]
    on_gpu = token_losses({"a": reader(make_model(1).placed().transformer)}, rows, START, details=True)["a"]
    np.testing.assert_allclose(on_gpu.nll, on_cpu.nll, atol=3e-2)  # activations there are bfloat16
    np.testing.assert_allclose(on_gpu.spread, on_cpu.spread, atol=3e-2)
