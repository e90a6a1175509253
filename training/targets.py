"""Target tasks scored by likelihood: multiple choice and perplexity, from JSONL files.

Formats, told apart by their keys: `query, choices, gold` (multiple choice), `context, continuation` (perplexity of the
continuation), `context, chain_of_thought, answer` (perplexity of worked solution and answer), and plain text files
(`.txt`, perplexity of everything, paragraph by paragraph). A choice is scored by the sum of its tokens' losses, by that
per byte, and the scores that small models move first: bits per byte of the right choice. Refuses a file of none of
these.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from ..corpus.store.errors import RequestError
from .data.packing import IGNORED
from .data.shards import TokenFacts
from .transformer import Transformer


@dataclass(frozen=True)
class Item:
    """A context, its possible continuations, and which of them is right."""

    context: str
    continuations: tuple[str, ...]
    gold: int = 0


@dataclass(frozen=True)
class Target:
    """A task. `choices` is False where there is nothing to choose and only likelihood counts."""

    name: str
    items: tuple[Item, ...]
    choices: bool


def load_target(path: str, limit: int | None = None) -> Target:
    """Read a target file; its name is that of the file."""
    name = os.path.splitext(os.path.basename(path))[0]
    with open(path, encoding="utf-8") as file:
        if path.endswith(".txt"):
            items = [Item("", (line.strip(),)) for line in file if line.strip()]
            return Target(name, tuple(items[:limit]), False)
        rows = [json.loads(line) for line in file if line.strip()]
    if not rows:
        raise RequestError(f"target {path} is empty")
    keys = set(rows[0])
    if {"query", "choices", "gold"} <= keys:
        items = [Item(row["query"], tuple(spaced(choice) for choice in row["choices"]), row["gold"]) for row in rows]
        return Target(name, tuple(items[:limit]), True)
    if {"context", "continuation"} <= keys:
        return Target(name, tuple(Item(row["context"], (spaced(row["continuation"]),)) for row in rows[:limit]), False)
    if {"context", "chain_of_thought", "answer"} <= keys:
        items = [Item(row["context"], (spaced(f"{row['chain_of_thought']} {row['answer']}"),)) for row in rows]
        return Target(name, tuple(items[:limit]), False)
    raise RequestError(
        f"target {path} has the keys {sorted(keys)}; known are query, choices, gold; context, continuation; "
        f"context, chain_of_thought, answer"
    )


def spaced(text: str) -> str:
    return text if text[:1].isspace() else " " + text


def score(
    model: nn.Module,
    target: Target,
    tokenizer: Tokenizer,
    facts: TokenFacts,
    length: int | None = None,
    rows: int = 32,
) -> dict[str, float]:
    """accuracy and accuracy_per_byte (multiple choice only), bits_per_byte of the right continuation.

    A context that leaves no room is cut at its left; a continuation longer than the model is cut at its right.
    model   a Transformer, or a module that is called with (ids, targets) and gives the loss per token
    length  tokens that it reads at most; may be left out for a Transformer
    """
    if length is None:
        assert isinstance(model, Transformer)
        length = model.config.max_len
    pairs = [(i, c) for i, item in enumerate(target.items) for c in range(len(item.continuations))]
    contexts = tokenizer.encode_batch_fast([item.context for item in target.items], add_special_tokens=False)
    texts = [target.items[i].continuations[c] for i, c in pairs]
    ends = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    sequences = [sequence(facts.bos, contexts[i].ids, end.ids, length) for (i, _), end in zip(pairs, ends, strict=True)]
    losses = continuation_losses(model, sequences, rows)
    sizes = np.array([len(text.encode()) for text in texts])
    per_byte = losses / np.maximum(sizes, 1)
    right, correct, correct_per_byte, at = [], 0, 0, 0
    for item in target.items:
        span = slice(at, at + len(item.continuations))
        correct += int(np.argmin(losses[span])) == item.gold
        correct_per_byte += int(np.argmin(per_byte[span])) == item.gold
        right.append(at + item.gold)
        at = span.stop
    found = {"bits_per_byte": float(losses[right].sum() / math.log(2) / sizes[right].sum())}
    if target.choices:
        count = len(target.items)
        found |= {"accuracy": correct / count, "accuracy_per_byte": correct_per_byte / count}
    return found


def sequence(bos: int, context: list[int], end: list[int], most: int) -> tuple[list[int], int]:
    """BOS, context, continuation, at most `most` + 1 tokens of them; and how many tokens stand before the latter."""
    end = end[:most]
    room = most - len(end)
    head = [bos, *context[max(0, len(context) - room) :]] if room > 0 else [bos]
    return [*head, *end], len(head)


@torch.no_grad()
def continuation_losses(model: nn.Module, sequences: Sequence[tuple[list[int], int]], rows: int) -> np.ndarray:
    """Summed loss in nats of each continuation, (S,) float64; batches are sorted by length."""
    device = next(model.parameters()).device
    measure = model.nll if isinstance(model, Transformer) else model
    found = np.zeros(len(sequences))
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i][0]))
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        width = len(sequences[chosen[-1]][0]) - 1
        ids, targets = (torch.full((len(chosen), max(1, width)), fill, dtype=torch.int64) for fill in (0, IGNORED))
        for row, i in enumerate(chosen):
            tokens, head = sequences[i]
            ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            targets[row, head - 1 : len(tokens) - 1] = torch.tensor(tokens[head:])
        nll = measure(ids.to(device), targets.to(device))
        found[chosen] = nll.sum(1, dtype=torch.float64).cpu().numpy()
    return found
