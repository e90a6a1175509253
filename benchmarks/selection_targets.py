"""Claim: CoLoR-Filter's selection trains a better model of a target domain than a random one, by more than two standard
errors; and who wins among the methods.

Six domains, one of them the target, a budget of one eighth of the tokens. Held back for the measurement: documents of
the target that neither the methods nor the pool see. The methods are fitted to another part of the target (the
"target sample"); the rest of the target lies in the pool like any other text. Each selection trains the same model from
scratch, for the same number of steps, with the same seeds; all of them together are one fleet. Printed: held-out bits
per byte of the target, mean and standard error over seeds, how much of the selection is of the target, CPU seconds of
scoring. MiniPLM's large model is the prior's twice as wide sibling; perplexity keeps the likeliest under the prior.

Usage: GRISTMILL_DATA=../shared/data python benchmarks/selection_targets.py [--target law] [--seeds 3]
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.proxy_models.scoring import selection
from gristmill.proxy_models.scoring.color import ColorSettings, fit_color
from gristmill.proxy_models.scoring.dsir import fit_dsir, open_dsir
from gristmill.proxy_models.scoring.embeddings import fit_rds, open_rds
from gristmill.proxy_models.scoring.pair import fit_pair, open_pair
from gristmill.proxy_models.scoring.sampling import Samples
from gristmill.proxy_models.scoring.zipfit import ZipfitSettings, fit_zipfit, open_zipfit
from gristmill.training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer

DOMAINS = ("books", "chat", "how_to", "law", "maths", "technical_prose")
DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PRIOR = FleetSettings(
    n_layers=2, d_model=64, n_heads=2, d_ff=192, seq_len=256, sequences=8, steps=150, lr=4e-3, warmup=15,
    evaluations=1, execution="stacked",
)  # fmt: skip
MODEL = PRIOR.model_copy(update={"steps": 150, "sequences": 4, "seq_len": 128, "execution": "stacked"})
SHARE = 1 / 8


def documents(share: float) -> dict[str, list[str]]:
    """Domain -> texts; the rows of each file stand in random order, so a prefix is a sample."""
    if not (DATA / "domains").is_dir():
        sys.exit(f"{DATA}/domains is not there; set GRISTMILL_DATA to the folder of the shared data")
    found = {}
    for name in DOMAINS:
        texts = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        found[name] = texts[: int(len(texts) * share)]
    return found


def scores_of(scorer, ids: list[str], texts: list[str], column: str = "score") -> np.ndarray:
    return np.concatenate([b[column].to_numpy(zero_copy_only=False) for b in scorer.score(ids, texts)]).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default="law", choices=DOMAINS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=float, default=0.1, help="share of the documents to use")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus = documents(arguments.data)
    target = corpus[arguments.target]
    n = len(target)
    heldout, wanted = target[: n // 10], target[n // 10 : n // 4]
    corpus[arguments.target] = target[n // 4 :]
    texts = [text for name in DOMAINS for text in corpus[name]]
    own = np.array([name == arguments.target for name in DOMAINS for _ in corpus[name]])
    ids = [f"{i:032x}" for i in range(len(texts))]
    drawn = selection.ranking(np.zeros(len(ids)), ids, 1)
    sizes_bytes = np.array([len(text.encode()) for text in texts], float)
    sample = [texts[i] for i in selection.prefix(drawn, sizes_bytes, 4e6)]
    samples = Samples(sample, {arguments.target: wanted})

    tokenizer = train_tokenizer([*sample[:400], *wanted[:50]], 4096)
    facts = token_facts(tokenizer)
    began = time.process_time()
    color = fit_color(samples, ColorSettings(prior=PRIOR, conditional_passes=2.0), 0, tokenizer)
    print(f"prior and conditional trained in {time.process_time() - began:.0f} CPU s", flush=True)
    large_shape = PRIOR.model_copy(update={"d_model": 128, "n_heads": 4, "d_ff": 384})
    large = fit_color(
        Samples(sample, {"t": wanted[:5]}), ColorSettings(prior=large_shape, conditional_steps=1), 0, tokenizer
    )
    prior = color["prior.safetensors"]
    pair = fit_pair(tokenizer, {"small": prior, "large": large["prior.safetensors"]}, PRIOR.seq_len, False)

    losses: dict[str, np.ndarray] = {}

    def of_color(column: str) -> np.ndarray:
        """A column of the pair prior and conditional, which is scored once."""
        if not losses:
            batches = list(open_pair(color).score(ids, texts))
            for name in ("score", "nll_prior", "nll_conditional"):
                losses[name] = np.concatenate([b[name].to_numpy(zero_copy_only=False) for b in batches]).astype(float)
        return losses[column]

    makers = {
        "color": lambda: of_color("score"),
        "conditional alone": lambda: -of_color("nll_conditional"),
        "perplexity": lambda: -of_color("nll_prior"),
        "miniplm": lambda: scores_of(open_pair(pair), ids, texts),
        "dsir": lambda: scores_of(open_dsir(fit_dsir(samples)), ids, texts),
        "zipfit": lambda: scores_of(open_zipfit(fit_zipfit(samples, ZipfitSettings(examples=8))), ids, texts),
        "rds": lambda: scores_of(open_rds(fit_rds(samples, tokenizer, prior, 256)), ids, texts),
        "random": lambda: selection.uniform(ids, 2),
    }
    tokens = encode(load_tokenizer(tokenizer), facts, texts, [""] * len(texts))
    sizes = np.array([len(t) for t in tokens], float)
    chosen, spent = {}, {}
    for name, make in makers.items():
        began = time.process_time()
        scores = make()
        spent[name] = time.process_time() - began
        chosen[name] = selection.prefix(selection.ranking(scores, ids, 0), sizes, SHARE * sizes.sum())
        print(f"{name}: scored in {spent[name]:.0f} CPU s", flush=True)

    pools = {name.replace(" ", "_"): [tokens[i] for i in rows] for name, rows in chosen.items()}
    held = encode(load_tokenizer(tokenizer), facts, heldout, [""] * len(heldout))
    pool = TokenPool.from_documents(
        pools, {arguments.target: (held, sum(len(text.encode()) for text in heldout))}, facts.vocab_size, facts.bos
    )
    mixtures = np.repeat(np.eye(len(pools)), arguments.seeds, axis=0)
    result = train_fleet(pool, mixtures, MODEL, list(range(arguments.seeds)) * len(pools))
    final = dict(zip(pool.names, result.final[:, 0].reshape(len(pools), arguments.seeds), strict=True))

    print(f"\ntarget {arguments.target}: {len(texts):,} documents, {sizes.sum():,.0f} tokens, budget 1/8; a model of 2")
    print(f"layers, d=64, trained on {MODEL.tokens_per_model:,} tokens of each selection; {arguments.seeds} seeds")
    print("method              bits per byte        of the target   overlap with color   CPU s (color's pay for three)")
    errors = {}
    for name in sorted(chosen, key=lambda name: final[name.replace(" ", "_")].mean()):
        values, rows = final[name.replace(" ", "_")], chosen[name]
        errors[name] = values.std(ddof=1) / np.sqrt(len(values))
        part = sizes[rows][own[rows]].sum() / sizes[rows].sum()
        same = selection.overlap(rows, chosen["color"], sizes)
        print(f"{name:18s}  {values.mean():.4f} +- {errors[name]:.4f}   {part:10.1%} {same:18.1%} {spent[name]:14.0f}")
    gap = final["random"].mean() - final["color"].mean()
    error = float(np.hypot(errors["random"], errors["color"]))
    print(f"color against random: {gap:+.4f} bits per byte, {gap / error:.1f} standard errors (goal: more than 2)")


if __name__ == "__main__":
    main()
