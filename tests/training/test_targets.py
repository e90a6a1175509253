"""Targets, capability curves and ensembles of branches."""

import json
import math

import pytest
import torch

from gristmill.corpus.refusal import RequestError
from gristmill.training import checkpoint
from gristmill.training.branches import Ensemble
from gristmill.training.evaluation import HeldOut, bits_per_byte
from gristmill.training.targets import capability_curve, load_target, score, sequence
from gristmill.training.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.transformer import Transformer, TransformerConfig

TEXT = train_tokenizer(["one two three four five six seven"] * 5, 300)
TOKENIZER, FACTS = load_tokenizer(TEXT), token_facts(TEXT)
CONFIG = TransformerConfig(1, 16, 2, 2, 24, 300, 24)


def model(seed=0):
    made = Transformer(CONFIG, seed)
    with torch.no_grad():
        made.head.weight.mul_(60)
    return made


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def by_hand(made, context, continuation):
    head = [FACTS.bos, *TOKENIZER.encode(context, add_special_tokens=False).ids]
    end = TOKENIZER.encode(continuation, add_special_tokens=False).ids
    logits = torch.log_softmax(made.logits(torch.tensor([head + end[:-1]])), -1)[0]
    return -sum(float(logits[len(head) - 1 + i, token]) for i, token in enumerate(end))


def test_choices_are_scored_by_the_loss_of_their_tokens(tmp_path):
    rows = [{"query": "one two", "choices": ["three", " four five", "six"], "gold": gold} for gold in range(3)]
    rows.append({"query": "seven", "choices": ["one", "two"], "gold": 1})
    target, made = load_target(write(tmp_path / "task.jsonl", rows)), model()
    found = score(made, target, TOKENIZER, FACTS, rows=3)
    right, right_per_byte, loss, size = 0, 0, 0.0, 0
    for row in rows:
        choices = [" " + choice.strip() for choice in row["choices"]]
        losses = [by_hand(made, row["query"], choice) for choice in choices]
        per_byte = [value / len(choice) for value, choice in zip(losses, choices, strict=True)]
        right += losses.index(min(losses)) == row["gold"]
        right_per_byte += per_byte.index(min(per_byte)) == row["gold"]
        loss, size = loss + losses[row["gold"]], size + len(choices[row["gold"]])
    assert found["accuracy"] == right / 4
    assert found["accuracy_per_byte"] == right_per_byte / 4
    assert found["bits_per_byte"] == pytest.approx(loss / math.log(2) / size, rel=1e-4)


def test_each_format_is_told_apart_by_its_keys(tmp_path):
    pairs = load_target(write(tmp_path / "a.jsonl", [{"context": "one", "continuation": "two"}]))
    worked = load_target(write(tmp_path / "b.jsonl", [{"context": "q", "chain_of_thought": "so", "answer": "4"}]))
    (tmp_path / "c.txt").write_text("one two\n\nthree\n")
    plain = load_target(str(tmp_path / "c.txt"))
    assert pairs.items[0].continuations == (" two",)
    assert worked.items[0].continuations == (" so 4",)
    assert [item.continuations[0] for item in plain.items] == ["one two", "three"]
    assert score(model(), plain, TOKENIZER, FACTS).keys() == {"bits_per_byte"}
    with pytest.raises(RequestError, match="known are query"):
        load_target(write(tmp_path / "d.jsonl", [{"question": "?"}]))


def test_a_context_without_room_is_cut_at_its_left():
    assert sequence(0, [1, 2, 3, 4], [5, 6], 4) == ([0, 3, 4, 5, 6], 3)
    assert sequence(0, [1, 2], [3, 4, 5], 2) == ([0, 3, 4], 1)
    assert sequence(0, [1], [2], 10) == ([0, 1, 2], 2)


def test_a_capability_curve_has_every_target_at_every_checkpoint(tmp_path):
    target = load_target(write(tmp_path / "a.jsonl", [{"context": "one", "continuation": "two"}]))
    for step in (1, 2):
        checkpoint.save(str(tmp_path / f"step-{step}"), model(step).state_dict(), {}, {"step": step})
    saved = [(step, str(tmp_path / f"step-{step}")) for step in (1, 2)]
    rows = capability_curve(Transformer(CONFIG), saved, [target], TOKENIZER, FACTS)
    assert [(row["step"], row["target"]) for row in rows] == [(1, "a"), (2, "a")]
    assert rows[1]["bits_per_byte"] == score(model(2), target, TOKENIZER, FACTS)["bits_per_byte"]


def test_an_ensemble_mixes_probabilities_and_learns_whom_to_trust():
    ids = torch.randint(0, 300, (2, 10), generator=torch.Generator().manual_seed(0))
    targets = ids.roll(-1, 1)
    first, second = model(1), model(2)
    mixed = Ensemble([first, second])(ids, targets)
    losses = [made.nll(ids, targets) for made in (first, second)]
    start = -torch.log((torch.exp(-losses[0][:, 0]) + torch.exp(-losses[1][:, 0])) / 2)
    torch.testing.assert_close(mixed[:, 0], start)
    total = torch.stack([loss.sum(1) for loss in losses]).min(0).values + math.log(2)
    assert (mixed.sum(1) <= total + 1e-3).all()  # never worse than the best branch by more than the prior
    alike = Ensemble([first, first])(ids, targets)
    torch.testing.assert_close(alike, losses[0])
    held = {"d": HeldOut(ids.numpy(), targets.numpy(), 40)}
    assert bits_per_byte(Ensemble([first, first]), held)["d"] == pytest.approx(bits_per_byte(first, held)["d"])
    with pytest.raises(RequestError, match="one vocabulary"):
        Ensemble([first, Transformer(TransformerConfig(1, 16, 2, 2, 24, 200, 24))])
