"""levanter and marin: `train_weights` by training step, a block size that keeps every share. Unit: sequences, tokens.

levanter gives each source int(weight * block) sequences of a block and the remainder to the largest: with the usual
block of 2,048 a share under 1/2048 silently becomes nothing. The block is chosen so that every share is realised
within one per cent, up to its limit of 65,535, and so that stages start on its boundaries where one does; shares beyond
that are refused.
"""

import gzip
import json
import os
from collections.abc import Sequence

import yaml

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import fingerprint
from .frame import TOLERANCE, Export, ExportJob, begin, positive, spans, used_domains, write_text

LARGEST_BLOCK = 65_535
USUAL_BLOCK = 2_048


def block_counts(shares: dict[str, float], block: int) -> dict[str, int]:
    """Sequences of each source in a block, by levanter's rule: truncated, the remainder to the largest."""
    total = sum(shares.values())
    counts = {name: int(share / total * block) for name, share in shares.items()}
    counts[max(counts, key=lambda name: counts[name])] += block - sum(counts.values())
    return counts


def faithful(shares: dict[str, float], block: int) -> bool:
    counts = block_counts(shares, block)
    return all(abs(counts[name] / block - share) <= TOLERANCE * share for name, share in shares.items())


def choose_block(phases: list[dict[str, float]], batch: int, starts: Sequence[int] = (), shortest: int = 0) -> int:
    """The smallest multiple of the batch, from the usual block up and then from there down, that realises every phase's
    shares: one at which all phases can start, if there is one, else one that the shortest phase holds.

    starts    steps at which later phases begin; shortest: steps of the shortest phase, 0 for a run of one
    """
    first = -(-USUAL_BLOCK // batch)
    blocks = [*range(first, LARGEST_BLOCK // batch + 1), *range(first - 1, 0, -1)]  # in steps
    exact = [steps for steps in blocks if not any(start % steps for start in starts)]
    for steps in (*exact, *(steps for steps in blocks if not shortest or steps <= shortest)):
        if all(faithful(shares, steps * batch) for shares in phases):
            return steps * batch
    smallest = min(share for shares in phases for share in shares.values())
    raise RequestError(
        f"levanter counts whole sequences in blocks of at most {LARGEST_BLOCK}; a share of {smallest:.3g} cannot be "
        f"kept within {TOLERANCE:.0%} of itself; merge small domains, or use another trainer"
    )


def export(job: ExportJob) -> Export:
    made = begin(job, "levanter", "rows")
    phases = spans(job)
    if len({span.phase.seq_len for span in phases}) > 1:
        raise RequestError("levanter has one sequence length a run, and the phases differ in it")
    shares = [positive(span.phase) for span in phases]
    begins = [span.begin for span in phases[1:]]
    block = choose_block(shares, job.batch, begins, min(span.steps for span in phases) if begins else 0)
    steps_per_block = block // job.batch
    names = used_domains(job)
    stages = []
    for span, mixture in zip(phases, shares, strict=True):
        begin_step = round(span.begin / steps_per_block) * steps_per_block
        if begin_step != span.begin:
            made.notes.append(
                f"phase {span.number} begins at step {begin_step} instead of {span.begin}: stages start on blocks"
            )
        stages.append([begin_step, {name: mixture.get(name, 0.0) for name in names}])
        counts = block_counts(mixture, block)
        made.add(mixture, mixture, {name: count / block for name, count in counts.items()})
    starts = [stage[0] for stage in stages]
    if sorted(set(starts)) != starts:
        raise RequestError(f"levanter: a phase is shorter than a block of {block} sequences; lower --batch")
    content = {
        "data": {
            "configs": {name: {"train_urls": [f"{job.root}/{name}.jsonl.gz"]} for name in names},
            "train_weights": stages if len(stages) > 1 else stages[0][1],
            "mixture_block_size": block,
            "stop_strategy": "restart",
            "tokenizer": f"{job.root}/tokenizer",
            "cache_dir": f"{job.root}/cache{cache_mark(job, names)}",
        },
        "trainer": {"train_batch_size": job.batch, "num_train_steps": phases[-1].end, "seed": job.seed},
        "train_seq_len": phases[0].phase.seq_len,
    }
    write_text(job, made, "data.yaml", yaml.safe_dump(content, sort_keys=False))
    if job.workspace is not None:
        for name in names:
            write_jsonl(job, f"{name}.jsonl.gz", name)
            made.files.append(f"data/{name}.jsonl.gz")
    return made


def cache_mark(job: ExportJob, names: Sequence[str]) -> str:
    """What tells caches of other texts apart: levanter takes a finished cache for that of the texts beside it."""
    own = {name: job.tokens(name).fingerprint for name in names} if job.workspace is not None else job.recipe.shards
    return f"-{fingerprint(dict(own))[:12]}" if own else ""


def write_jsonl(job: ExportJob, name: str, domain: str) -> None:
    """The texts of a domain, one JSON object a line, gzipped (with no time in the header: same texts, same bytes)."""
    path = os.path.join(job.data_folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        for document in job.texts(domain):
            file.write((json.dumps(document, ensure_ascii=False) + "\n").encode())
