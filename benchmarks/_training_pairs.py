"""Pairs of small training runs on the six domains: one method on and off, at equal tokens, over seeds.

Shared by the `training_*` benchmarks of a method. Every run of a pair starts from the same weights and reads the same
number of tokens; what is printed is held-out bits per byte with the method minus without, mean and spread over seeds.
The scale is that of a test on a CPU: a difference here says that the mechanism works, not what it gives at size.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenDomain
from gristmill.training.data.tokenizer import encode, encode_prefixes, load_tokenizer, token_facts, train_tokenizer
from gristmill.training.evaluation import HeldOut, held_out_rows
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.transformer import Transformer, size

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / "../shared/data"))
STEPS = int(os.environ.get("GRISTMILL_STEPS", "150"))
SEEDS = range(int(os.environ.get("GRISTMILL_SEEDS", "3")))
LENGTH, BATCH, VOCAB, MODEL = 128, 2048, 2048, "2x64x2"
BYTES = 1_000_000  # of text per domain

Pool = dict[str, TokenDomain]


def pool(prefix: Callable[[dict], str] = lambda row: "") -> tuple[Pool, dict[str, HeldOut]]:
    """Train and held-out tokens of every domain; `prefix` gives a document's metadata line."""
    return train_and_held_out(prefix)[:2]


def train_and_held_out(
    prefix: Callable[[dict], str] = lambda row: "",
) -> tuple[Pool, dict[str, HeldOut], Tokenizer]:
    """The same, and the tokenizer."""
    files = sorted((DATA / "domains").glob("*.parquet"))
    if not files:
        sys.exit(f"no domains under {DATA}; set GRISTMILL_DATA to the folder of the shared data")
    rows: dict[str, list[dict]] = {}
    for file in files:
        used, rows[file.stem] = 0, []
        for row in pq.read_table(file, columns=["text", "url"]).to_pylist():
            if used < BYTES:
                rows[file.stem].append(row)
                used += len(row["text"].encode())
    text = train_tokenizer(
        (row["text"] for found in rows.values() for row in found[:: max(1, len(found) // 60)]), VOCAB
    )
    tokenizer, facts = load_tokenizer(text), token_facts(text)
    train, held = {}, {}
    for name, found in rows.items():
        cut = max(2, len(found) // 12)
        for split, part in (("heldout", found[:cut]), ("train", found[cut:])):
            prefixes = [prefix(row) for row in part]
            texts = [row["text"] for row in part]
            domain = TokenDomain.from_documents(
                name,
                encode(tokenizer, facts, texts, prefixes),
                facts,
                [len(text.encode()) for text in texts],
                [len(head) for head in encode_prefixes(tokenizer, prefixes)],
                split,
            )
            if split == "train":
                train[name] = domain
            else:
                held[name] = held_out_rows(domain, LENGTH, 6_000)
    return train, held, tokenizer


def even(domains: Pool) -> dict[str, float]:
    return dict.fromkeys(domains, 1.0 / len(domains))


def run(
    domains: Pool,
    held: dict[str, HeldOut],
    phases: list[Phase],
    seed: int,
    model: Transformer | None = None,
    **settings: object,
) -> dict[str, float]:
    """Bits per byte by domain after one run, of a new model or of one that is trained on."""
    loader = Loader(domains, phases, STEPS * BATCH, BATCH, seed)
    model = model or new_model(domains, seed, max(LENGTH, *(phase.seq_len for phase in phases)))
    loop = LoopSettings(
        optimiser=OptimiserSettings(rate=4e-3), device="cpu", compile=False, log_every=50, checkpoint_every=10_000,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return pretrain(model, loader, loop, folder, held)["bits_per_byte"]


def new_model(domains: Pool, seed: int, longest: int = LENGTH) -> Transformer:
    return Transformer(size(MODEL, next(iter(domains.values())).facts.vocab_size, longest), seed)


def compare(title: str, without: Callable[[int], dict[str, float]], with_it: Callable[[int], dict[str, float]]) -> None:
    """Run both for every seed and print the difference, by domain and on average."""
    torch.set_num_threads(1)
    pairs = [(without(seed), with_it(seed)) for seed in SEEDS]
    print(f"{title}\n{MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens, {len(pairs)} seeds; bits per byte")
    for name in [*pairs[0][0], "mean"]:
        off, on = ([value(part, name) for part in side] for side in zip(*pairs, strict=True))
        differences = [b - a for a, b in zip(off, on, strict=True)]
        spread = statistics.stdev(differences) if len(differences) > 1 else float("nan")
        print(
            f"  {name:16} without {statistics.mean(off):.4f}  with {statistics.mean(on):.4f}  "
            f"difference {statistics.mean(differences):+.4f} (spread {spread:.4f})"
        )


def compare_all(
    title: str, without: Callable[[int], dict[str, float]], methods: dict[str, Callable[[int], dict[str, float]]]
) -> None:
    """Run the plain one and every method for every seed; print each one's mean bits per byte over domains."""
    torch.set_num_threads(1)
    plain = [value(without(seed), "mean") for seed in SEEDS]
    print(f"{title}\n{MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens, {len(plain)} seeds; bits per byte")
    print(f"  {'without':16} {statistics.mean(plain):.4f}")
    for name, method in methods.items():
        found = [value(method(seed), "mean") for seed in SEEDS]
        differences = [b - a for a, b in zip(plain, found, strict=True)]
        spread = statistics.stdev(differences) if len(differences) > 1 else float("nan")
        print(f"  {name:16} {statistics.mean(found):.4f}  difference {statistics.mean(differences):+.4f} "
              f"(spread {spread:.4f})", flush=True)  # fmt: skip


def value(found: dict[str, float], name: str) -> float:
    return statistics.mean(found.values()) if name == "mean" else found[name]
