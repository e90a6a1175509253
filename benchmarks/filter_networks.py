"""Claim: a filter is judged by the models trained on what it keeps; its accuracy as a classifier says little.

    GRISTMILL_DATA=../shared/data python benchmarks/filter_networks.py [--seeds 3] [--data 0.4]

Data filtering networks (Fang et al. 2023). The pool: documents of the six domains, half of them spoilt (words of a
line in another order, a passage repeated, half the lines taken from other documents, keyword lists). Filters are
fastText classifiers of `gristmill.filters.classifiers`, all against the same random sample of the pool:

    small clean     positives: 200 documents known to be clean
    large, mixed    positives: 2,000 documents of which a third are spoilt, as a cheap source gives them
    one domain      positives: 200 clean documents of the largest domain

Each keeps the third of the pool's tokens that it scores highest; so does a random draw, and one that knows the truth.
Printed for each: ROC-AUC on its own held-out texts (what its maker sees), ROC-AUC and accuracy on the pool's true
labels, the share of what it keeps that is clean, and mean held-out bits per byte over the six domains of a small model
trained on what it keeps (2 layers, d=64), with the standard error over seeds.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score

from gristmill.filters.classifiers import score, train
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.proxy_models.scoring import selection
from gristmill.training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer

DOMAINS = ("books", "chat", "how_to", "law", "maths", "technical_prose")
DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
MODEL = FleetSettings(
    n_layers=2, d_model=64, n_heads=2, d_ff=192, seq_len=128, sequences=4, steps=150, lr=4e-3, warmup=15,
    evaluations=1, execution="stacked",
)  # fmt: skip
SHARE, SIZE = 1 / 3, 2000  # of the pool's tokens that a filter keeps; characters of a document


def pieces(share: float) -> dict[str, list[str]]:
    """Domain -> pieces of about `SIZE` characters, cut at line ends; the rows of each file stand in random order."""
    if not (DATA / "domains").is_dir():
        sys.exit(f"{DATA}/domains is not there; set GRISTMILL_DATA to the folder of the shared data")
    found = {}
    for name in DOMAINS:
        texts = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        made, held = [], ""
        for line in "\n".join(texts[: int(len(texts) * share)]).split("\n"):
            held += line + "\n"
            if len(held) >= SIZE:
                made.append(held)
                held = ""
        found[name] = made
    return found


def spoilt(text: str, others: list[str], dice: random.Random) -> str:
    """The text as crawls spoil texts, one of four ways."""
    lines = text.split("\n")
    way = dice.randrange(4)
    if way == 0:
        return "\n".join(" ".join(dice.sample(words, len(words))) for words in (line.split(" ") for line in lines))
    if way == 1:
        passage = " ".join(dice.choice(lines).split()[:30]) or "Read more"
        return "\n".join(passage for _ in range(max(2, len(text) // (len(passage) + 1))))
    if way == 2:
        mixed = [line for other in dice.sample(others, 4) for line in other.split("\n")]
        return "\n".join(dice.choice(mixed) if dice.random() < 0.5 else line for line in lines)
    words = [word for word in text.split() if len(word) > 4] or ["more"]
    return ", ".join(dice.choice(words) for _ in range(len(text) // 9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=float, default=0.4, help="share of the documents to use")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dice = random.Random(0)
    corpus = pieces(arguments.data)
    heldout = {name: texts[: len(texts) // 12] for name, texts in corpus.items()}
    rest = [(name, text) for name, texts in corpus.items() for text in texts[len(texts) // 12 :]]
    dice.shuffle(rest)
    everything = [text for _, text in rest]
    cut = min(2000, len(rest) // 4)
    known, clean = rest[:cut], everything[cut:]
    half = len(clean) // 2
    texts = clean[:half] + [spoilt(text, everything, dice) for text in clean[half:]]
    truth = np.arange(len(texts)) < half
    ids = [f"{n:032x}" for n in range(len(texts))]
    random_draw = selection.ranking(np.zeros(len(ids)), ids, 1)
    negatives = [texts[n] for n in random_draw[: len(texts) // 5]]

    largest = max(DOMAINS, key=lambda name: len(corpus[name]))
    positives = {
        "small clean": [text for _, text in known[:200]],
        "large, mixed": [text if n % 3 else spoilt(text, everything, dice) for n, (_, text) in enumerate(known)],
        "one domain": [text for name, text in known if name == largest][:200],
    }
    scores = {"random": selection.uniform(ids, 2), "the truth": truth + selection.uniform(ids, 2) / 2}
    own = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, examples in positives.items():
            path = f"{folder}/{name.replace(' ', '_')}.bin"
            own[name] = train(examples, negatives, path, epochs=80, dimensions=16).auc
            scores[name] = score(pa.array(texts), path)["score"].to_numpy(zero_copy_only=False)
    tokenizer = train_tokenizer(everything[:600], 4096)
    facts, loaded = token_facts(tokenizer), load_tokenizer(tokenizer)
    tokens = encode(loaded, facts, texts, [""] * len(texts))
    sizes = np.array([len(row) for row in tokens], float)
    chosen = {
        name: selection.prefix(selection.ranking(values, ids, 0), sizes, SHARE * sizes.sum())
        for name, values in scores.items()
    }
    pools = {f"pool{n}": [tokens[row] for row in rows] for n, rows in enumerate(chosen.values())}
    held = {
        name: (encode(loaded, facts, own_texts, [""] * len(own_texts)), sum(len(text.encode()) for text in own_texts))
        for name, own_texts in heldout.items()
    }
    pool = TokenPool.from_documents(pools, held, facts.vocab_size, facts.bos)
    mixtures = np.repeat(np.eye(len(pools)), arguments.seeds, axis=0)
    result = train_fleet(pool, mixtures, MODEL, list(range(arguments.seeds)) * len(pools))
    place = {name: at for at, name in enumerate(pool.names)}
    final = result.final.mean(axis=1).reshape(len(pools), arguments.seeds)

    print(
        f"{len(texts):,} documents, half of them spoilt, {sizes.sum():,.0f} tokens, a third kept; models of 2 layers, "
    )
    print(f"d=64, {MODEL.tokens_per_model:,} tokens each; {arguments.seeds} seeds; bits per byte over six domains")
    print("filter          own AUC   AUC    accuracy   clean of kept   bits per byte")
    rows = []
    for n, (name, values) in enumerate(scores.items()):
        losses = final[place[f"pool{n}"]]
        auc = roc_auc_score(truth, values)
        accuracy = float(((values >= np.median(values)) == truth).mean())
        share = sizes[chosen[name]][truth[chosen[name]]].sum() / sizes[chosen[name]].sum()
        error = losses.std(ddof=1) / np.sqrt(len(losses))
        rows.append((losses.mean(), f"{name:14s} {own.get(name, float('nan')):7.3f} {auc:7.3f} {accuracy:9.3f} "
                     f"{share:14.3f}     {losses.mean():.4f} +- {error:.4f}"))  # fmt: skip
    for _, row in sorted(rows):
        print(row)
    judged = {name: final[place[f"pool{n}"]].mean() for n, name in enumerate(scores)}
    ranked = sorted(own, key=lambda name: -own[name])
    print(f"by their own accuracy: {' > '.join(ranked)}")
    print(f"by the models trained on what they keep: {' > '.join(sorted(own, key=judged.__getitem__))}")


if __name__ == "__main__":
    main()
