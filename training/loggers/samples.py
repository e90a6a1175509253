"""What a model writes when it is asked to go on: drawn with a seed, and kept in `samples.jsonl` beside the metrics.

A line of JSON per prompt and measuring: step, tokens, place (of the prompt), prompt, text, temperature, seed. The seed
of a prompt is the same at every step, so that texts differ by what was learnt, and no other prompt changes them: equal
weights give equal text. A text ends with the token that ends documents, with as many tokens as were asked for, or with
the context. A run that resumes or rolls back first drops the lines after its checkpoint, so every step is told once.

Refuses a prompt that fills the context.
"""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import replacing
from ..data.tokenizer import decode
from ..loop_settings import SampleSettings
from ..transformer import Transformer
from .metrics import read_metrics

SAMPLES = "samples.jsonl"
Sampler = Callable[[Transformer], list[dict[str, Any]]]  # what the model writes now: a row each prompt


@torch.no_grad()
def written_on(
    model: Transformer, ids: Sequence[int], tokens: int, temperature: float, seed: int, end: int
) -> list[int]:
    """Tokens that the model writes behind `ids` (BOS and the prompt), at most `tokens` of them, without the end.

    temperature  0: the most likely token each time; draws are of a generator of their own, in float64 on the CPU
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    row = list(ids)
    while len(row) < len(ids) + tokens and len(row) < model.config.max_len:
        hidden = model.forward(torch.tensor([row], device=device))[0, -1]  # as it is in `nll`: never compiled
        logits = F.linear(hidden, model.head_weight.to(hidden.dtype))[: model.config.vocab_size].cpu().double()
        if temperature:
            drawn = torch.multinomial(torch.softmax((logits - logits.max()) / temperature, -1), 1, generator=generator)
        else:
            drawn = logits.argmax()
        if int(drawn) == end:
            break
        row.append(int(drawn))
    return row[len(ids) :]


def sampler_of(settings: SampleSettings, tokenizer: Tokenizer, bos: int, eos: int | None, length: int) -> Sampler:
    """What writes on behind each prompt of the settings. `length` is the context."""
    begun = [[bos, *tokenizer.encode(one, add_special_tokens=False).ids] for one in settings.prompts]
    for prompt, ids in zip(settings.prompts, begun, strict=True):
        if len(ids) >= length:
            raise RequestError(
                f"samples: the prompt {prompt[:40]!r} has {len(ids)} tokens and the context {length}; "
                "give a shorter one"
            )

    def sample(model: Transformer) -> list[dict[str, Any]]:
        rows = []
        for place, (prompt, ids) in enumerate(zip(settings.prompts, begun, strict=True)):
            seed = settings.seed + place
            found = written_on(model, ids, settings.tokens, settings.temperature, seed, bos if eos is None else eos)
            rows.append({"place": place, "prompt": prompt, "text": decode(tokenizer, found),
                         "temperature": settings.temperature, "seed": seed})  # fmt: skip
        return rows

    return sample


class SampleLog:
    """The samples of one run; only the leading rank draws and writes. Without a sampler it does nothing."""

    def __init__(self, folder: str, step: int, sampler: Sampler | None, leads: bool) -> None:
        self.path, self.sampler, self.leads = f"{folder}/{SAMPLES}", sampler, leads
        self.rewind(step)

    def rewind(self, step: int) -> None:
        """Drop what was written at later steps."""
        if self.leads and os.path.exists(self.path):
            put_samples(self.path, [line for line in read_metrics(self.path) if line["step"] <= step])

    def write(self, step: int, tokens: int, model: Transformer) -> None:
        """What the model writes at this step, on disk when this returns."""
        if self.sampler is not None and self.leads:
            with open(self.path, "a", encoding="utf-8") as file:
                file.writelines(_line({"step": step, "tokens": tokens, **row}) for row in self.sampler(model))


def put_samples(path: str, lines: Sequence[dict[str, Any]]) -> None:
    """Write the whole file anew, in the order of steps and prompts."""
    ordered = sorted(lines, key=lambda line: (line["step"], line.get("place", 0)))
    with replacing(path) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.writelines(map(_line, ordered))


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
