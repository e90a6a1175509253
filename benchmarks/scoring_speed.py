"""Claim: scoring documents by two models costs at most a third of a plain loop, in CPU seconds.

Peer: the loop that scoring scripts around `transformers` run. One model at a time over all documents in the order they
come, padded batches of 16, full logits and a cross-entropy over them, padding masked; texts are cut at the same length.
The same weights in both (`ScorePair` against the loop, on the same `Transformer`), one thread, same run, turns taken;
the two must agree to 1e-4 nats. Whole documents of six domains in a drawn order, up to what the model reads (1,024
tokens): their lengths spread as they do, which is what padding pays for. Tokens are tokens of text times models, per
CPU second (user + system), and the share of padding in the loop's batches is printed beside.

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
from gristmill.proxy_models.scoring.pair import ScorePair
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.transformer import Transformer, TransformerConfig

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LENGTH, BATCH, FLOOR = 1024, 16, 3.0
DOMAINS = ("books", "chat", "how_to", "law", "maths", "technical_prose")


def texts_of(count: int) -> list[str]:
    if not (DATA / "domains").is_dir():
        sys.exit(f"{DATA}/domains is not there; set GRISTMILL_DATA to the folder of the shared data")
    texts = []
    for name in DOMAINS:
        rows = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        texts += rows[: count // len(DOMAINS)]
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
            nll = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(mask.shape)
            found[m, first : first + len(tokens)] = ((nll * mask).sum(1) / mask.sum(1)).numpy()
    return found


def compare(tokenizer: str, shape: tuple[int, ...], texts: list[str], rounds: int) -> float:
    """Print the rates of both on these texts; the ratio."""
    facts, own = token_facts(tokenizer), load_tokenizer(tokenizer)
    config = TransformerConfig(*shape, facts.vocab_size, max_len=LENGTH)
    models = [Transformer(config, seed).requires_grad_(False).eval() for seed in (0, 1)]
    named = {n: ProxyModel(m, facts.tokenizer) for n, m in zip("ab", models, strict=True)}
    scorer = ScorePair(tokenizer, named, LENGTH)

    def encode(text: str) -> list[int]:
        return own.encode(text, add_special_tokens=False).ids

    # both score the same tokens: what the loop would cut off is cut before
    texts = [text[: own.encode(text, add_special_tokens=False).offsets[:LENGTH][-1][1]] for text in texts]
    lengths = [min(LENGTH, len(encode(text))) for text in texts]
    tokens = 2 * sum(lengths)
    padded = 2 * sum(max(lengths[i : i + BATCH]) * len(lengths[i : i + BATCH]) for i in range(0, len(texts), BATCH))
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        began = time.process_time()
        batches = list(scorer.score([str(i) for i in range(len(texts))], texts))
        seconds["ours"].append(time.process_time() - began)
        began = time.process_time()
        expected = plain_loop(models, encode, facts.bos, texts)
        seconds["plain"].append(time.process_time() - began)
    whole = np.array([len(encode(text)) <= LENGTH for text in texts])
    for m, name in enumerate("ab"):
        actual = np.concatenate([batch[f"nll_{name}"].to_numpy(zero_copy_only=False) for batch in batches])
        assert np.abs(actual - expected[m])[whole].max() < 1e-4, np.abs(actual - expected[m])[whole].max()
    rates = {name: tokens / statistics.median(own) for name, own in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    print(
        f"{shape[0]} layers, d={shape[1]}, V={facts.vocab_size:,}, two models, {len(texts)} documents of {min(lengths)}"
        f" to {max(lengths)} tokens, {1 - tokens / padded:.0%} padding in the loop; {whole.sum()} equal to 1e-4\n"
        f"  ScorePair {rates['ours']:7,.0f} tokens per CPU s, plain loop {rates['plain']:7,.0f}: ratio {ratio:.2f}",
        flush=True,
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokenizer", default=str(DATA / "tokenizers" / "gpt2.json"))
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = texts_of(arguments.documents)
    small = compare(train_tokenizer(texts, 4096), (2, 64, 2, 2, 192), texts, arguments.rounds)
    large = compare(Path(arguments.tokenizer).read_text(), (4, 256, 4, 4, 704), texts[::4], arguments.rounds)
    met = min(small, large) >= FLOOR
    print(f"goal {FLOOR}: {'met' if met else 'MISSED'} (one thread)")


if __name__ == "__main__":
    main()
