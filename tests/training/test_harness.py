"""Targets are scored as lm-evaluation-harness scores them: its own arithmetic, with a small model of ours behind it.

What stands between the two (the model behind the harness's interface, a target as a task) is the benchmark's, which
does the same with a trained model on five published targets.
"""

import pytest
import torch

from benchmarks.harness import Peer, by_harness
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.targets import Item, Target, score
from gristmill.training.transformer import Transformer, TransformerConfig

CONTEXT = 24
TEXT = train_tokenizer(["one two three four five six seven, eight nine. nought"] * 5, 300)
TOKENIZER, FACTS = load_tokenizer(TEXT), token_facts(TEXT)
CHOICES = Target(
    "choices",
    (
        Item("one two", (" three", " four five", " six"), 0),
        Item("seven eight", (" nine, nought", " two"), 1),
        Item("four é", (" five", " fünf", " 五"), 2),
        Item("two three four five six seven eight nine", (" nought", " one two three"), 0),
    ),
    True,
)
LINES = Target("lines", (Item("one two?", ("\nthree four", "\nfive")), Item("six?", ("\nseven", "\nnine"), 1)), True)
ENDINGS = Target("endings", (Item("one two three", (" four",)), Item("nine eight", (" seven six five",))), False)
TEXTS = Target("texts", (Item("", ("one two three",)), Item("", (" ".join(["four five six é"] * 20),))), False)


@pytest.mark.slow
@pytest.mark.parametrize("target", [CHOICES, LINES, ENDINGS, TEXTS], ids=lambda target: target.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_target_has_the_figures_that_the_harness_gives_it(target, seed, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.harness.LENGTH", CONTEXT)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    model = Transformer(TransformerConfig(1, 16, 2, 2, 24, 300, CONTEXT), seed)
    with torch.no_grad():
        model.head.weight.mul_(60)
    ours = score(model, target, TOKENIZER, FACTS, CONTEXT)
    theirs = by_harness(Peer(model, TOKENIZER, FACTS), target.name, target, str(tmp_path))
    assert set(theirs) >= ({"accuracy", "accuracy_unconditioned"} if target.choices else {"bits_per_byte"})
    for name, value in theirs.items():
        if abs(ours.get(name.replace("accuracy", "margin"), 1.0)) < 1e-4:
            continue  # a tie, which the last bits decide
        assert ours[name] == pytest.approx(value, rel=1e-4), name
