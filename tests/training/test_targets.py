"""Targets, capability curves and ensembles of branches."""

import json
import math

import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.training import checkpoint
from gristmill.training.branches import Ensemble, merge
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.evaluation import HeldOut, bits_per_byte
from gristmill.training.targets import Item, Target, load_target, score, sequence
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


def test_merged_branches_are_a_checkpoint_of_their_mean(tmp_path):
    state = {"config": vars(CONFIG), "fingerprints": {"tokenizer": "t"}}
    folders = [str(tmp_path / f"branch-{seed}") for seed in (1, 2)]
    for seed, folder in zip((1, 2), folders, strict=True):
        checkpoint.save(folder, model(seed).state_dict(), {}, {**state, "step": seed})
    merge(folders, str(tmp_path / "made" / "merged"), [3, 1])
    merged, told = checkpoint.load_model(str(tmp_path / "made" / "merged"))
    expected = 0.75 * model(1).embed.weight + 0.25 * model(2).embed.weight
    torch.testing.assert_close(merged.embed.weight, expected)
    assert [part["weight"] for part in told["merged"]] == [0.75, 0.25]
    checkpoint.save(str(tmp_path / "stranger"), model(3).state_dict(), {}, {**state, "step": 1, "fingerprints": {}})
    for wrong, said in (
        ({"folders": [folders[0], str(tmp_path / "stranger")]}, "in its tokenizer"),
        ({"folders": folders, "weights": [1.0]}, "give one each"),
        ({"folders": folders, "weights": [-1.0, 2.0]}, "must not be negative"),
        ({"folders": folders, "output": folders[0]}, "is there already"),
    ):
        with pytest.raises(RequestError, match=said):
            merge(**({"output": str(tmp_path / "x")} | wrong))


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
    task = Target("t", (Item("one", (" two", " three"), 1),), True)
    assert score(Ensemble([first, first]), task, TOKENIZER, FACTS, 24) == pytest.approx(
        score(first, task, TOKENIZER, FACTS)
    )
    with pytest.raises(RequestError, match="one vocabulary"):
        Ensemble([first, Transformer(TransformerConfig(1, 16, 2, 2, 24, 200, 24))])
