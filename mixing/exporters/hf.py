"""Hugging Face `interleave_datasets`, for TRL, axolotl, torchtune and one's own loops. Unit: documents.

Writes `mixture.py` (one function, `load(phase)`), `mixture.json` with its numbers and, from a workspace, one Parquet
file of texts per domain. Probabilities are share / mean tokens per document, renormalised; zero ones are left out (the
library has hung on them). `all_exhausted` keeps drawing until every domain has been seen, so nothing is undersampled.
"""

import os

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.shards import replacing
from .frame import Export, Job, begin, document_weights, positive, token_shares, used_domains, write_json, write_text

MODULE = '''"""The mixture of a gristmill recipe for Hugging Face datasets; probabilities are of documents."""

import json
from pathlib import Path

from datasets import interleave_datasets, load_dataset

MIXTURE = json.loads((Path(__file__).parent / "mixture.json").read_text())


def load(phase: int = 1, streaming: bool = True, seed: int = MIXTURE["seed"]):
    """The interleaved documents of a phase (1 is the first). Stop after MIXTURE["phases"][phase - 1]["tokens"]."""
    chosen = MIXTURE["phases"][phase - 1]
    names = sorted(chosen["probabilities"])
    parts = [
        load_dataset("parquet", data_files=MIXTURE["files"][name], split="train", streaming=streaming) for name in names
    ]
    parts = [
        part.shuffle(seed=seed + place, buffer_size=10_000) if streaming else part.shuffle(seed=seed + place)
        for place, part in enumerate(parts)
    ]
    return interleave_datasets(
        parts,
        probabilities=[chosen["probabilities"][name] for name in names],
        seed=seed + phase,
        stopping_strategy="all_exhausted",
    )
'''


def export(job: Job) -> Export:
    made = begin(job, "hf", "documents")
    phases, before = [], 0.0
    for phase in job.recipe.phases:
        shares = positive(phase)
        weights = document_weights(job.recipe, shares)
        made.add(shares, weights, token_shares(job.recipe, weights))
        tokens = round((phase.until - before) * job.recipe.total_tokens)
        phases.append({"tokens": tokens, "seq_len": phase.seq_len, "probabilities": weights})
        before = phase.until
    names = used_domains(job)
    content = {
        "unit": "documents",
        "seed": job.seed,
        "files": {name: f"{job.root}/{name}.parquet" for name in names},
        "phases": phases,
    }
    write_json(job, made, "mixture.json", content)
    write_text(job, made, "mixture.py", MODULE)
    if len(phases) > 1:
        made.notes.append("interleave_datasets has no phases: call load(1), load(2), … for the tokens of each")
    if job.workspace is None:
        made.notes.append(f"settings only: texts are expected under {job.root}; --workspace writes them")
    else:
        for name in names:
            write_texts(job, name)
            made.files.append(f"data/{name}.parquet")
    return made


TEXTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("url", pa.string())])


def write_texts(job: Job, domain: str, rows: int = 1024) -> None:
    """The training documents of a domain as `data/<domain>.parquet`."""
    with replacing(os.path.join(job.data_folder, f"{domain}.parquet")) as scratch:
        with pq.ParquetWriter(scratch, TEXTS, compression="zstd") as writer:
            pending = []
            for document in job.texts(domain):
                pending.append(document)
                if len(pending) == rows:
                    writer.write_table(pa.Table.from_pylist(pending, TEXTS))
                    pending = []
            writer.write_table(pa.Table.from_pylist(pending, TEXTS))
