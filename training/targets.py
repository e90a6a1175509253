"""Target tasks scored by likelihood: multiple choice and perplexity, from JSONL files.

Formats, told apart by their keys: `query, choices, gold` (multiple choice), `context, continuation` (perplexity of the
continuation), `context, chain_of_thought, answer` (perplexity of worked solution and answer), and plain text files
(`.txt`, perplexity of everything, line by line); Parquet and compressed files too. A continuation stands behind its
context and one space, unless it or the end of the context has white space already: white space at the end of a context
belongs to what follows, and context and continuation are encoded together. A choice is scored by the loss of its
tokens, by that per token, byte and character, and by how much less it costs than without the context; the scores that
small models move first are bits per byte of the right choice and the margins between it and the best other one.

The arithmetic is that of lm-evaluation-harness 0.4 (`api/model.py: _encode_pair`, `utils.get_rolling_token_windows`,
`api/task.py: process_results`): accuracy is its acc, per character acc_norm, per byte acc_bytes, unconditioned
acc_mutual_info. Where it cuts a text that is longer than the context, all of the text is scored here, in windows.

Texts are brought into the form that documents are in (NFC, `\\n`, no control characters).

Refuses a file of none of these formats, and a line whose answer names no choice, whose text is missing or empty, or
that is no JSON object, by its number.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from ..corpus.given_files import given_lines, read_given
from ..corpus.readers.text_names import TEXTS, ends_in, stem
from ..corpus.readers.texts import read_rows, refuse_other_forms
from ..corpus.store.errors import RequestError
from ..corpus.text.normalising import as_documents_are
from .data.packing import IGNORED
from .data.shards import TokenFacts
from .evaluation import windows
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

    def texts(self) -> list[str]:
        """Each context with its right continuation."""
        return [item.context + item.continuations[item.gold] for item in self.items]


FORMATS = (("query", "choices", "gold"), ("context", "continuation"), ("context", "chain_of_thought", "answer"))


def load_target(path: str, limit: int | None = None) -> Target:
    """Read a target file; its name is that of the file. `limit`: of its items, all of which are checked."""
    name = stem(path)
    if ends_in(path, TEXTS):
        text = read_given(path, f"target {path}")
        refuse_other_forms(text, path, "target")
        lines = [line.strip() for line in given_lines(text) if line.strip()]
        if not lines:
            raise RequestError(f"target {path}: no text in it")
        return Target(name, tuple(Item("", (as_documents_are(line),)) for line in lines[:limit]), False)
    rows = read_rows(path, "target", objects=True)
    read = [(f"target {row.place}", cast(dict[str, Any], row.content)) for row in rows]
    keys = next((keys for keys in FORMATS if set(keys) <= read[0][1].keys()), None)
    if keys is None:
        raise RequestError(
            f"target {path} has the keys {sorted(read[0][1])}; known are query, choices, gold; context, continuation; "
            f"context, chain_of_thought, answer"
        )
    items = tuple(item_of(where, row, keys) for where, row in read)
    return Target(name, items[:limit], keys == FORMATS[0])


def item_of(where: str, row: dict[str, Any], keys: tuple[str, ...]) -> Item:
    """The item of a row of one of the FORMATS; a RequestError that begins with `where` for a row that is none."""
    missing = [key for key in keys if key not in row]
    if missing:
        raise RequestError(f"{where} has no {' and no '.join(missing)}, which the first line has")
    texts = [row[key] for key in keys if key not in ("choices", "gold")]
    choices = row["choices"] if "choices" in keys else [" ".join(map(str, texts[1:]))]
    if not isinstance(choices, list) or not choices:
        raise RequestError(f"{where}: choices must be a list of texts, it is {choices!r}")
    if not all(isinstance(text, str) for text in (*texts, *choices)):
        raise RequestError(f"{where}: {', '.join(key for key in keys if key != 'gold')} must be texts")
    if not all(choice.strip() for choice in choices):
        raise RequestError(f"{where}: a text to be scored is empty")
    gold = row["gold"] if "gold" in keys else 0
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise RequestError(
            f"{where}: gold {gold!r} names no choice; it is the place of the right one, from 0 to {len(choices) - 1}"
        )
    return joined(texts[0], choices, gold)


def joined(context: str, continuations: Iterable[str], gold: int = 0) -> Item:
    """White space at the end of the context begins the continuations; where there is none, one space does."""
    kept = context.rstrip()
    space = context[len(kept) :]
    made = [space + text for text in continuations]
    return Item(kept, tuple(text if text[:1].isspace() else " " + text for text in made), gold)


def score(
    model: nn.Module,
    target: Target,
    tokenizer: Tokenizer,
    facts: TokenFacts,
    length: int | None = None,
    rows: int = 32,
) -> dict[str, float]:
    """bits_per_byte of the right continuations and their perplexity per token; of multiple choice also the share of
    items whose right choice has the best score (accuracy) and the mean distance in nats to the best other (margin):
    by the sum of losses, per_token, per_byte, per_character, and unconditioned (the loss without the context less that
    with it). Sizes are those of a choice without the white space before it.

    A context that leaves no room is cut at its left; a continuation longer than the model is read in windows.
    model   a Transformer, or a module that is called with (ids, targets) and gives the loss per token
    length  tokens that it reads at most; may be left out for a Transformer
    """
    if length is None:
        assert isinstance(model, Transformer)
        length = model.config.max_len
    pairs = [(item.context, text) for item in target.items for text in item.continuations]
    encoded = encode_pairs(tokenizer, pairs)
    losses = sequence_losses(model, [([facts.bos, *head], end) for head, end in encoded], length, rows)
    counts = np.array([len(end) for _, end in encoded])
    golds, at = [], 0
    for item in target.items:
        golds.append(at + item.gold)
        at += len(item.continuations)
    nats, size = losses[golds].sum(), sum(len(pairs[i][1].encode()) for i in golds)
    found = {
        "bits_per_byte": float(nats / math.log(2) / max(1, size)),
        "perplexity": float(np.exp(nats / max(1, counts[golds].sum()))),
    }
    if not target.choices:
        return found
    known = list(dict.fromkeys(text for _, text in pairs))
    alone = [([facts.bos], end) for _, end in encode_pairs(tokenizer, [("", text) for text in known])]
    apart = dict(zip(known, sequence_losses(model, alone, length, rows), strict=True))
    texts = [text.lstrip() for _, text in pairs]
    scores = {
        "": -losses,
        "_per_token": -losses / np.maximum(counts, 1),
        "_per_byte": -losses / np.array([len(text.encode()) for text in texts]),
        "_per_character": -losses / np.array([len(text) for text in texts]),
        "_unconditioned": np.array([apart[text] for _, text in pairs]) - losses,
    }
    for name, values in scores.items():
        right, margins, at = 0, [], 0
        for item in target.items:
            own = values[at : at + len(item.continuations)]
            right += int(np.argmax(own)) == item.gold
            others = np.delete(own, item.gold)
            margins += [float(own[item.gold] - others.max())] if len(others) else []
            at += len(own)
        found[f"accuracy{name}"] = right / len(target.items)
        if margins:
            found[f"margin{name}"] = float(np.mean(margins))
    return found


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """(context, continuation) -> tokens of both, encoded together, so that the boundary is read as in running text;
    apart where a token would stand on both sides of it."""
    contexts = {context: place for place, context in enumerate(dict.fromkeys(context for context, _ in pairs))}
    heads = tokenizer.encode_batch_fast(list(contexts), add_special_tokens=False)
    wholes = tokenizer.encode_batch_fast([context + text for context, text in pairs], add_special_tokens=False)
    made = []
    for (context, text), whole in zip(pairs, wholes, strict=True):
        head = heads[contexts[context]].ids
        if len(whole.ids) > len(head) and whole.ids[: len(head)] == head:
            made.append((head, whole.ids[len(head) :]))
        else:
            made.append((head, tokenizer.encode(text, add_special_tokens=False).ids))
    return made


def sequence_losses(
    model: nn.Module, sequences: Sequence[tuple[list[int], list[int]]], most: int, rows: int
) -> np.ndarray:
    """Summed loss in nats of the second part of each sequence behind the first, (S,) float64; at most `most` tokens are
    read at a time."""
    parts, owner = [], []
    for number, (head, end) in enumerate(sequences):
        tokens = [*head, *end]
        for begin, first, last in windows(len(head), len(end), most):
            parts.append((tokens[begin:last], first - begin))
            owner.append(number)
    found = np.zeros(len(sequences))
    np.add.at(found, np.array(owner, np.int64), continuation_losses(model, parts, rows))
    return found


@torch.no_grad()
def continuation_losses(model: nn.Module, sequences: Sequence[tuple[list[int], int]], rows: int) -> np.ndarray:
    """Summed loss in nats of what follows the first n tokens of each sequence, (S,) float64; batches are sorted by
    length."""
    device = next(model.parameters()).device
    measure = model.read if isinstance(model, Transformer) else model
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
