"""What a whole run learns, token by token: the corpus, as often as its epochs say, whatever is combined."""

import tempfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.training.checkpoint import save
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.packing import Packing, Rows
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.objectives.objective import Objective
from gristmill.training.transformer import Transformer, TransformerConfig

BOS, EOS, LENGTH = 0, 1, 8
VOCABULARY = 512
CONFIG = TransformerConfig(1, 8, 1, 1, 8, vocab_size=VOCABULARY, max_len=LENGTH)


def corpus(sizes, prefix, eos):
    """A domain in which every token of every text is another one, so that it names its place."""
    facts, documents, at = TokenFacts("t", VOCABULARY, BOS, eos), [], 2
    for size in sizes:
        body = range(at, at + size + prefix)
        documents.append(np.array([BOS, *body, *([] if eos is None else [eos])], np.uint16))
        at += size + prefix
    return TokenDomain.from_documents("d", documents, facts, metadata_tokens=[prefix] * len(sizes))


def expected(domain, prefix, epochs):
    """How often each token has to be learnt: texts and ends, neither starts nor prefixes."""
    found = Counter()
    for i in range(domain.documents):
        found.update(domain.document(i)[1 + prefix :].tolist())
        found.update([BOS] if domain.facts.eos is None else [])
    return Counter({token: epochs * count for token, count in found.items()})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("teacher") / "checkpoint")
    model = Transformer(CONFIG, 5)
    save(folder, dict(model.state_dict()), {}, {"config": vars(CONFIG), "step": 1})
    return folder


@pytest.fixture
def learnt(monkeypatch):
    """The targets that steps learn with a weight above 0, and the summed weights of each call."""
    told, masses = Counter(), []
    forward = Objective.forward

    def listening(self, ids, targets, scale=None, mask=None, shares=None, reweight=None, draw=None, documents=None):
        if scale is not None and draw is None:  # neither measured nor drawn by the model itself
            labels = targets if targets.ndim == 2 else targets[..., 0]
            told.update(labels[(scale > 0) & (labels >= 0)].tolist())
            masses.append(float(scale.sum()))
        return forward(self, ids, targets, scale, mask, shares, reweight, draw, documents)

    monkeypatch.setattr(Objective, "forward", listening)
    return told, masses


OPTIONS = st.fixed_dictionaries(
    {
        "micro_tokens": st.sampled_from([None, LENGTH, 2 * LENGTH]),
        "z_loss": st.sampled_from([0.0, 0.01]),
        "document_mask": st.booleans(),
        "reweighting": st.sampled_from(["none", "linupper", "quadratic", "extremes"]),
        "taught": st.booleans(),
        "optimiser": st.sampled_from(["adamw", "sophia"]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    packing=st.sampled_from(["concat", "bestfit", "decompose"]),
    prefix=st.integers(0, 2),
    keep=st.booleans(),
    eos=st.sampled_from([EOS, None]),
    epochs=st.integers(1, 2),
    options=OPTIONS,
)
def test_a_run_of_whole_epochs_learns_every_token_of_the_corpus_as_often(
    learnt, teacher, sizes, packing, prefix, keep, eos, epochs, options
):
    told, masses = learnt
    told.clear()
    masses.clear()
    domain = corpus(sizes, prefix, eos)
    rows = len(Rows(domain, Packing(packing, LENGTH, keep, LENGTH, LENGTH)))
    if not rows:
        return
    phase = Phase(1.0, {"d": 1.0}, LENGTH, packing, metadata=keep, shortest=LENGTH)
    loader = Loader({"d": domain}, [phase], epochs * rows * LENGTH, rows * LENGTH, seed=2)  # an epoch is a step
    given_options = {
        "micro_tokens": options["micro_tokens"],
        "z_loss": options["z_loss"],
        "document_mask": options["document_mask"],
        "reweighting": {"strategy": options["reweighting"], "warmup": 0.0, "temperature": 1.0},
        "optimiser": {"name": options["optimiser"], "rate": 1e-4},
        "teacher": {"checkpoint": teacher, "k": 3, "until": 0.5} if options["taught"] else None,
    }
    fixed = {"device": "cpu", "compile": False, "checkpoint_every": 99, "spike_sigma": 1e9}
    with tempfile.TemporaryDirectory() as folder:
        card = pretrain(Transformer(CONFIG, 1), loader, LoopSettings(**fixed, **given_options), folder, {})
    wanted = expected(domain, prefix, epochs)
    assert told == wanted
    assert card["realised"]["d"]["tokens"] == sum(wanted.values()) == loader.plan()[0]["tokens"]
    if options["reweighting"] == "none":
        assert sum(masses) == pytest.approx(epochs, rel=1e-4)  # the loss of a step is a mean over its tokens


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_weights_of_domains_change_how_much_a_token_counts_and_not_how_often(learnt, weight):
    told, _ = learnt
    domains = {"a": corpus([7, 9, 12], 0, EOS), "b": corpus([5, 30], 0, EOS)}
    loader = Loader(domains, [Phase(1.0, {"a": 0.5, "b": 0.5}, LENGTH)], 40 * LENGTH, 10 * LENGTH, seed=2)
    fixed = {"device": "cpu", "compile": False, "checkpoint_every": 99, "loss_weights": {"b": weight}}
    with tempfile.TemporaryDirectory() as folder:
        card = pretrain(Transformer(CONFIG, 1), loader, LoopSettings(**fixed), folder, {})
    counts = {name: told_of["tokens"] for name, told_of in card["realised"].items()}
    assert sum(told.values()) == counts["a"] + (counts["b"] if weight else 0)
    assert counts == {row["domain"]: row["tokens"] for row in loader.plan()}


def test_ranks_together_learn_what_one_rank_learns():
    domain = corpus([7, 9, 12, 3, 18], 0, EOS)
    rows = len(Rows(domain, Packing("bestfit", LENGTH)))
    loader = Loader({"d": domain}, [Phase(1.0, {"d": 1.0}, LENGTH, "bestfit")], 8 * rows * LENGTH, 8 * LENGTH, seed=2)
    for world in (1, 2, 4, 8):
        found = Counter()
        for step in range(loader.steps):
            for rank in range(world):
                targets = loader.batch(step, rank, world).targets
                found.update(targets[targets >= 0].tolist())
        assert found == expected(domain, 0, 8)
