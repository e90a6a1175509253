"""Targets, capability curves and ensembles of branches."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.training import checkpoint
from gristmill.training.branches import Ensemble, merge
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.evaluation import HeldOut, bits_per_byte, windows
from gristmill.training.targets import Item, Target, joined, load_target, score
from gristmill.training.transformer import Transformer, TransformerConfig

TEXT = train_tokenizer(["one two three four five six seven"] * 5, 300)
TOKENIZER, FACTS = load_tokenizer(TEXT), token_facts(TEXT)
TEXTS = st.text(
    st.sampled_from("ab \u00e9\u03b1\u0436\u05d0\u0928\u093e\u4e2d\uac00\U0001f600"), min_size=1, max_size=40
).filter(str.strip)
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
    return -sum(float(logits[len(head) - 1 + i, token].detach()) for i, token in enumerate(end))


def test_choices_are_scored_by_the_loss_of_their_tokens(tmp_path):
    rows = [{"query": "one two", "choices": ["three", " four five", "six"], "gold": gold} for gold in range(3)]
    rows.append({"query": "seven", "choices": ["one", "two"], "gold": 1})
    target, made = load_target(write(tmp_path / "task.jsonl", rows)), model()
    found = score(made, target, TOKENIZER, FACTS, rows=3)
    right, right_per_byte, loss, size = 0, 0, 0.0, 0
    for row in rows:
        choices = [" " + choice.strip() for choice in row["choices"]]
        losses = [by_hand(made, row["query"], choice) for choice in choices]
        per_byte = [value / (len(choice) - 1) for value, choice in zip(losses, choices, strict=True)]
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
    assert score(model(), plain, TOKENIZER, FACTS).keys() == {"bits_per_byte", "perplexity"}
    with pytest.raises(RequestError, match="known are query"):
        load_target(write(tmp_path / "d.jsonl", [{"question": "?"}]))


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS, st.integers(3, 24))
def test_every_token_of_a_text_of_any_length_and_script_is_scored_once(texts, context, most):
    made = model()
    items = tuple(joined(context, [text]) for text in texts)
    found = score(made, Target("t", items, False), TOKENIZER, FACTS, most, rows=3)
    nats, size = 0.0, 0
    for item in items:
        head = TOKENIZER.encode(item.context, add_special_tokens=False).ids
        tokens = [FACTS.bos, *TOKENIZER.encode(item.context + item.continuations[0], add_special_tokens=False).ids]
        assert tokens[1 : 1 + len(head)] == head
        for begin in range(1 + len(head), len(tokens), most):  # a loop over the tokens, one after the other
            end = min(begin + most, len(tokens))
            row = torch.tensor([tokens[max(0, end - 1 - most) : end]])
            logp = torch.log_softmax(made.logits(row[:, :-1]), -1)[0]
            nats -= sum(float(logp[row.shape[1] - 2 - (end - 1 - at), tokens[at]].detach()) for at in range(begin, end))
        size += len(item.continuations[0].encode())
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-4)


@given(st.integers(1, 9), st.integers(0, 40), st.integers(1, 12))
def test_windows_score_every_token_once_and_read_no_more_than_the_model_can(before, length, most):
    found = list(windows(before, length, most))
    assert [at for _, first, end in found for at in range(first, end)] == list(range(before, before + length))
    assert all(begin < first and end - 1 - begin <= most for begin, first, end in found)


@pytest.mark.parametrize(
    ("context", "text"), [("one", "two"), ("one ", "two"), ("one", " two"), ("one\u00a0", "two"), ("one\n", "two")]
)
def test_white_space_between_context_and_continuation_stands_once_wherever_it_is_written(context, text):
    item = joined(context, [text])
    assert item.context == "one"
    assert item.continuations[0].strip() == "two"
    assert len(item.continuations[0]) == 4


@pytest.mark.parametrize("gold", [-1, 2, True, 0.0, "0", "one", None, [0]])
def test_an_answer_that_names_no_choice_is_refused_by_its_line(tmp_path, gold):
    good = {"query": "q", "choices": ["one", "two"], "gold": 1}
    with pytest.raises(RequestError, match=r"task\.jsonl line 2: gold .* names no choice"):
        load_target(write(tmp_path / "task.jsonl", [good, good | {"gold": gold}]))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query": "q", "choices": ["a"]}', "line 2 has no gold"),
        ('{"query": "q", "choices": "ab", "gold": 0}', "line 2: choices must be a list"),
        ('{"query": "q", "choices": ["a", 3], "gold": 0}', "line 2: query, choices must be texts"),
        ('{"query": "q", "choices": ["a", " "], "gold": 0}', "line 2: a text to be scored is empty"),
        ("[1]", "line 2 is no JSON object"),
        ("{", "line 2 is not JSON"),
    ],
)
def test_a_line_that_is_no_item_is_refused_by_its_number(tmp_path, line, said):
    (tmp_path / "task.jsonl").write_text('{"query": "q", "choices": ["a", "b"], "gold": 0}\n' + line + "\n")
    with pytest.raises(RequestError, match=said):
        load_target(str(tmp_path / "task.jsonl"))


def test_choices_are_compared_by_token_byte_character_and_against_their_cost_alone():
    made = model()
    target = Target(
        "t", (joined("one two", ["three", "\u00e9\u00e9 six", "five"], 1), joined("six", ["two", "one"])), True
    )
    found = score(made, target, TOKENIZER, FACTS)
    expected = {name: [] for name in ("", "_per_token", "_per_byte", "_per_character", "_unconditioned")}
    for item in target.items:
        losses = np.array([by_hand(made, item.context, text) for text in item.continuations])
        alone = np.array([by_hand(made, "", text) for text in item.continuations])
        texts = [text[1:] for text in item.continuations]
        counts = [len(TOKENIZER.encode(text, add_special_tokens=False).ids) for text in item.continuations]
        own = {
            "": -losses,
            "_per_token": -losses / counts,
            "_per_byte": -losses / [len(text.encode()) for text in texts],
            "_per_character": -losses / [len(text) for text in texts],
            "_unconditioned": alone - losses,
        }
        for name, values in own.items():
            best = max(value for place, value in enumerate(values) if place != item.gold)
            expected[name].append((values[item.gold] > best, values[item.gold] - best))
    for name, both in expected.items():
        assert found[f"accuracy{name}"] == np.mean([right for right, _ in both])
        assert found[f"margin{name}"] == pytest.approx(np.mean([margin for _, margin in both]), rel=1e-3, abs=1e-5)


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
