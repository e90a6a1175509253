"""Metadata conditioning then cooldown (MeCo) beside plain training at equal tokens: six domains, three seeds.

Documents are pieces of a page, each with the URL of the site that its domain comes from; the prefix is
`URL: <host>` and a blank line and carries no loss. Both runs see the same number of tokens, prefixes included, so
conditioning pays for its prefixes. The first 90 % of a MeCo run have prefixes, the last 10 % have none; schedule,
data order and seeds are the same. Reported: bits per byte of held-out pieces, each on its own, after the end and at
the end of the first phase, read plainly and behind their prefix. No result is arranged: the table says what happened.

    python -m benchmarks.meco_conditioning [--tokens N]
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenDomain, domains, open_tokens
from gristmill.training.evaluation import document_nll
from gristmill.training.loop import LoopSettings, pretrain
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.schedules import Schedule
from gristmill.training.transformer import Transformer, TransformerConfig

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SITES = {
    "books": "https://www.gutenberg.org/ebooks/",
    "chat": "https://irclogs.ubuntu.com/",
    "how_to": "https://tldr.inbrowser.app/pages/common/",
    "law": "https://code.dccouncil.gov/us/dc/council/",
    "maths": "https://stacks.math.columbia.edu/tag/",
    "technical_prose": "https://peps.python.org/",
}
PIECE = 900  # characters
SEQ_LEN, BATCH = 256, 16
SEEDS = (0, 1, 2)


def pieces(text: str) -> list[str]:
    """A page cut at line ends into pieces of about `PIECE` characters."""
    made, held = [], ""
    for line in text.split("\n"):
        if held and len(held) + len(line) > PIECE:
            made.append(held)
            held = ""
        held = f"{held}\n{line}" if held else line
    return [piece for piece in [*made, held] if len(piece.strip()) > 100]


def build(folder: str) -> Workspace:
    """A tokenized workspace with host prefixes."""
    workspace = Workspace(f"{folder}/w")
    inputs = []
    for domain, site in SITES.items():
        rows = pq.read_table(DATA / "domains" / f"{domain}.parquet", columns=["url", "text"]).to_pylist()
        path = f"{folder}/{domain}.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            for row in rows:
                url = site + row["url"].rsplit("/", 1)[-1]
                file.writelines(json.dumps({"text": piece, "url": url}) + "\n" for piece in pieces(row["text"]))
        inputs.append(Input(paths=(path,), source=domain))
    run_extract(workspace, ExtractSettings(inputs=tuple(inputs)), RunnerOptions(), quiet=True)
    settings = TokenizeSettings(metadata="host", heldout=0.03, vocab_size=2048)
    tokenize(workspace, settings, RunnerOptions(), quiet=True)
    return workspace


def measured(model: Transformer, domain: TokenDomain, prefix: bool, most: int = 150) -> float:
    """Bits per byte of held-out documents, each on its own; with `prefix` they are read behind their host."""
    documents, skipped, size = [], [], 0
    for i in range(min(most, domain.documents)):
        tokens, head = domain.document(i), int(domain.metadata_tokens[i])
        if len(tokens) > SEQ_LEN + 1:
            continue
        documents.append(tokens if prefix else np.concatenate((tokens[:1], tokens[1 + head :])))
        skipped.append(head if prefix else 0)
        size += int(domain.n_bytes[i])
    total = sum(
        float(nll[head : len(nll) - 1].sum())  # neither the prefix nor the end of the document
        for nll, head in zip(document_nll(model, documents, SEQ_LEN), skipped, strict=True)
    )
    return total / math.log(2) / size


def train(workspace: Workspace, folder: str, tokens: int, seed: int, meco: bool, stop: float) -> Transformer:
    """The model at the end, or at the end of the first phase where `stop` is 0.9 (same schedule: it is one run)."""
    names = domains(workspace)
    shards = {name: open_tokens(workspace, name, "train") for name in names}
    shares = dict.fromkeys(names, 1 / len(names))
    phases = [Phase(0.9, shares, SEQ_LEN, metadata=meco), Phase(1.0, shares, SEQ_LEN)]
    loader = Loader(shards, phases, tokens, SEQ_LEN * BATCH, seed)
    vocabulary = next(iter(shards.values())).facts.vocab_size
    model = Transformer(TransformerConfig(3, 96, 3, 3, 288, vocabulary, SEQ_LEN), seed=seed)
    settings = LoopSettings(
        optimiser=OptimiserSettings(rate=3e-3),
        schedule=Schedule(kind="cosine", warmup=0.05, final=0.1),
        checkpoint_every=round(0.9 * loader.steps),
        keep=2,
        device="cpu",
    )
    held = f"{folder}/{'meco' if meco else 'plain'}-{seed}"
    pretrain(model, loader, settings, held, {})
    if stop < 1:
        from safetensors.torch import load_file

        found = sorted(Path(held).rglob("model.safetensors"), key=lambda path: int(path.parent.name.split("-")[-1]))
        model.load_state_dict(load_file(found[0]))
    return model.eval()


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--tokens", type=int, default=800_000)
    tokens = options.parse_args().tokens
    if not (DATA / "domains").is_dir():
        sys.stderr.write(f"no data in {DATA}; set GRISTMILL_DATA\n")
        return 77
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = build(folder)
        names = domains(workspace)
        held = {name: open_tokens(workspace, name, "heldout") for name in names}
        began = time.process_time()
        for seed in SEEDS:
            for meco in (False, True):
                for stop in (1.0, 0.9) if meco else (1.0,):
                    model = train(workspace, folder, tokens, seed, meco, stop)
                    for prefix in (False, True):
                        label = f"{'MeCo' if meco else 'plain'}{' before cooldown' if stop < 1 else ''}"
                        row = found.setdefault(f"{label}{', behind its URL' if prefix else ''}", {})
                        for name in names:
                            row.setdefault(name, []).append(measured(model, held[name], prefix))
        spent = time.process_time() - began
    print(f"{tokens:,} tokens a run, {len(SEEDS)} seeds, {sum(p.numel() for p in model.parameters()):,} parameters,")
    print(f"held-out bits per byte, mean over seeds; {spent:.0f} CPU seconds in all\n")
    print(f"{'':40}" + "".join(f"{name:>16}" for name in names) + f"{'mean':>16}  over seeds (least, most)")
    means = {}
    for label, row in found.items():
        over = [statistics.mean(row[name][i] for name in names) for i in range(len(SEEDS))]
        means[label] = over
        cells = "".join(f"{statistics.mean(row[name]):>16.4f}" for name in names)
        print(f"{label:40}{cells}{statistics.mean(over):>16.4f}  ({min(over):.4f}, {max(over):.4f})")
    difference = [b - a for a, b in zip(means["plain"], means["MeCo"], strict=True)]
    won = sum(value < 0 for value in difference)
    print(f"\nMeCo minus plain, read plainly: {', '.join(f'{value:+.4f}' for value in difference)} bits per byte;")
    print(f"MeCo is better in {won} of {len(SEEDS)} seeds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
