"""Claim: scoring documents by two models costs at most a third of a plain loop, in CPU seconds.

Peer: the loop that scoring scripts around `transformers` run. One model at a time over all documents in the order they
come, padded batches of 16, full logits and a cross-entropy over them, padding masked; texts are cut at the same length.
The same weights in both (`ScorePair` against the loop, on the same `Transformer`), one thread, same run, turns taken;
the two must agree to 1e-4 nats. Tokens are tokens of text times models, per CPU second (user + system).

Usage: GRISTMILL_DATA=../shared/data python benchmarks/scoring_speed.py [--tokenizer gpt2.json]
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

from gristmill.proxy_models.model_files import ProxyModel
from gristmill.proxy_models.score_pair import ScorePair
from gristmill.training.tokenizer import load_tokenizer, token_facts
from gristmill.training.transformer import Transformer, TransformerConfig

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LENGTH, BATCH, FLOOR = 512, 16, 3.0
DOMAINS = ("how_to", "law", "books", "technical_prose")


def texts_of(count: int) -> list[str]:
    if not (DATA / "domains").is_dir():
        sys.exit(f"{DATA}/domains is not there; set GRISTMILL_DATA to the folder of the shared data")
    texts = []
    for name in DOMAINS:
        rows = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        texts += [text[:1500] for text in rows[: count // len(DOMAINS)]]
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]


@torch.inference_mode()
def plain_loop(models: list[Transformer], encode, start: int, texts: list[str]) -> np.ndarray:
    """(models, documents): mean losses."""
    found = np.zeros((len(models), len(texts)))
    for m, model in enumerate(models):
        for first in range(0, len(texts), BATCH):
            tokens = [[start, *encode(text)[:LENGTH]] for text in texts[first : first + BATCH]]
            width = max(map(len, tokens))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in tokens])
            mask = torch.tensor([[1.0] * (len(row) - 1) + [0.0] * (width - len(row)) for row in tokens])
            logits = model.logits(ids[:, :-1])
            nll = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            found[m, first : first + len(tokens)] = ((nll * mask).sum(1) / mask.sum(1)).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokenizer", default=str(DATA / "tokenizers" / "gpt2.json"))
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = texts_of(arguments.documents)
    tokenizer = Path(arguments.tokenizer).read_text()
    facts, own = token_facts(tokenizer), load_tokenizer(tokenizer)
    config = TransformerConfig(4, 256, 4, 4, 704, facts.vocab_size, max_len=LENGTH)
    models = [Transformer(config, seed).requires_grad_(False).eval() for seed in (0, 1)]
    scorer = ScorePair(
        tokenizer, {n: ProxyModel(m, facts.tokenizer) for n, m in zip("ab", models, strict=True)}, LENGTH
    )

    def encode(text: str) -> list[int]:
        return own.encode(text, add_special_tokens=False).ids

    lengths = [min(LENGTH, len(encode(text))) for text in texts]
    tokens = 2 * sum(lengths)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(arguments.rounds):
        began = time.process_time()
        batches = list(scorer.score([str(i) for i in range(len(texts))], texts))
        seconds["ours"].append(time.process_time() - began)
        began = time.process_time()
        expected = plain_loop(models, encode, facts.bos, texts)
        seconds["plain"].append(time.process_time() - began)
    whole = np.array([len(encode(text)) <= LENGTH for text in texts])  # longer ones go on in further chunks with us
    for m, name in enumerate("ab"):
        actual = np.concatenate([batch[f"nll_{name}"].to_numpy(zero_copy_only=False) for batch in batches])
        assert np.abs(actual - expected[m])[whole].max() < 1e-4, np.abs(actual - expected[m])[whole].max()
    rates = {name: tokens / statistics.median(own) for name, own in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    print(f"4 layers, d=256, V={facts.vocab_size:,}, two models, {len(texts)} documents of {min(lengths)} to "
          f"{max(lengths)} tokens; {whole.sum()} equal to 1e-4; one thread")  # fmt: skip
    print(f"ScorePair   {rates['ours']:8,.0f} tokens per CPU second")
    print(f"plain loop  {rates['plain']:8,.0f} tokens per CPU second")
    print(f"ratio {ratio:.2f} (goal {FLOOR}): {'goal met' if ratio >= FLOOR else 'GOAL MISSED'}")


if __name__ == "__main__":
    main()
