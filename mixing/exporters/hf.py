"""Hugging Face datasets, for TRL, axolotl, torchtune and one's own loops. Unit: documents.

Writes `mixture.py` (one function, `load(phase)`), `mixture.json` with its numbers and, from a workspace, one Parquet
file of texts per domain. `interleave_datasets`, the library's own mixing, ends where a source ends for the first or
the last time and starts every call anew, so that a run of several epochs is cut short and a second phase repeats the
first. `load` counts instead: a phase has share x tokens / mean tokens per document of each domain, spread evenly over
it; a domain that ends begins again in another order, and a phase goes on where the phase before left each domain.
"""

import math
import os

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import replacing
from .frame import Export, ExportJob, begin, document_weights, positive, used_domains, write_json, write_text

MODULE = '''"""The mixture of a gristmill recipe for Hugging Face datasets; counts are of documents."""

import heapq
import itertools
import json
from pathlib import Path

import datasets

MIXTURE = json.loads((Path(__file__).parent / "mixture.json").read_text())


def load(phase: int = 1, streaming: bool = True, seed: int = MIXTURE["seed"]):
    """All documents of a phase (1 is the first) in their order, as an IterableDataset where the library has one."""
    made = getattr(datasets, "IterableDataset", None)
    if made is None:
        return documents(phase, streaming, seed)
    return made.from_generator(documents, gen_kwargs={"phase": phase, "streaming": streaming, "seed": seed})


def documents(phase: int, streaming: bool, seed: int):
    """Documents of each domain evenly over the phase, from where the phases before left it."""
    counts = MIXTURE["phases"][phase - 1]["documents"]
    read = {
        name: sum(before["documents"].get(name, 0) for before in MIXTURE["phases"][: phase - 1]) for name in counts
    }
    streams = {
        name: itertools.islice(passes(name, place, streaming, seed), read[name], None)
        for place, name in enumerate(sorted(MIXTURE["files"]))
        if name in counts
    }
    for _, name in heapq.merge(*(turns(name, count) for name, count in counts.items())):
        yield next(streams[name])


def turns(name: str, count: int):
    """When each document of a domain comes, as fractions of the phase."""
    for number in range(count):
        yield (number + 0.5) / count, name


def passes(name: str, place: int, streaming: bool, seed: int):
    """A domain's documents again and again, each pass in an order of its own."""
    for number in itertools.count():
        part = datasets.load_dataset("parquet", data_files=MIXTURE["files"][name], split="train", streaming=streaming)
        order = seed + place + 1_000_003 * number
        empty = True
        for row in part.shuffle(seed=order, buffer_size=10_000) if streaming else part.shuffle(seed=order):
            empty = False
            yield row
        if empty:
            raise ValueError(f"{MIXTURE['files'][name]} has no documents")
'''


def export(job: ExportJob) -> Export:
    made = begin(job, "hf", "documents")
    phases, before = [], 0.0
    for number, phase in enumerate(job.recipe.phases, 1):
        shares = positive(phase)
        weights = document_weights(job.recipe, shares)
        tokens = round((phase.until - before) * job.recipe.total_tokens)
        counts = document_counts(job, shares, tokens, number)
        drawn = {name: count * job.recipe.domains[name].mean_tokens_per_document for name, count in counts.items()}
        slack = max(job.recipe.domains[name].mean_tokens_per_document for name in shares) / tokens
        made.add(shares, weights, {name: value / sum(drawn.values()) for name, value in drawn.items()}, slack)
        phases.append({"tokens": tokens, "seq_len": phase.seq_len, "probabilities": weights, "documents": counts})
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
        made.notes.append("the library has no phases: call load(1), load(2), … one after the other, each to its end")
    if job.workspace is None:
        made.notes.append(f"settings only: texts are expected under {job.root}; --workspace writes them")
    else:
        for name in names:
            write_texts(job, name)
            made.files.append(f"data/{name}.parquet")
    return made


def document_counts(job: ExportJob, shares: dict[str, float], tokens: int, phase: int) -> dict[str, int]:
    """Documents of each domain that hold its share of the tokens of a phase; refuses a share of less than a half."""
    exact = {name: share * tokens / job.recipe.domains[name].mean_tokens_per_document for name, share in shares.items()}
    none = [name for name, count in exact.items() if count < 0.5]
    if none:
        raise RequestError(
            f"phase {phase} has {tokens:,} tokens, in which the share of {', '.join(none)} is less than half a "
            f"document; raise it, or use more tokens"
        )
    return {name: math.ceil(count) for name, count in exact.items()}


TEXTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("url", pa.string())])


def write_texts(job: ExportJob, domain: str, rows: int = 1024) -> None:
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
