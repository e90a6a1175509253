"""Megatron-LM, and through the same files NeMo and Megatron-Bridge. Unit: fixed-length samples, that is tokens.

Per phase an arguments file (`--data-args-path`) and a per-split JSON (`--per-split-data-args-path`); more than one
phase also gets the iterations at which Megatron must save, exit and be started with the next file. Zero weights are
left out (Megatron asserts), weights are plain decimals and paths are never numbers (its parser tells a weight from a
path by trying). Refuses a share that would be less than one sample of its phase.
"""

from ...corpus.store.errors import RequestError
from .frame import Export, Job, begin, decimals, positive, spans, used_domains, write_json, write_text
from .token_files import write_megatron


def export(job: Job) -> Export:
    made = begin(job, "megatron", "rows")
    phases = spans(job)
    held = used_domains(job) if job.workspace is not None else []
    valid = [part for name in held for part in (str(round(1 / len(held), 12)), _prefix(job, name, "heldout"))]
    for span in phases:
        shares = positive(span.phase)
        samples = span.steps * job.batch
        for name, share in shares.items():
            if share * samples < 1:
                raise RequestError(
                    f"megatron: phase {span.number} holds {samples} samples, and {share:.3g} of them for {name} is "
                    f"less than one; leave it out or lengthen the phase"
                )
        weights = decimals(shares)
        blend = [part for name in shares for part in (weights[name], _prefix(job, name, "train"))]
        write_text(job, made, f"phase-{span.number}.args", " ".join(blend) + "\n")
        write_json(job, made, f"phase-{span.number}.json", {"train": blend, "valid": valid, "test": []})
        made.add(shares, {name: float(text) for name, text in weights.items()}, shares)
    write_text(job, made, "run.sh", _driver(job, made))
    if any(span.phase.seq_len != phases[0].phase.seq_len for span in phases):
        made.notes.append("phases differ in --seq-length: run.sh passes each its own")
    if job.workspace is not None:
        write_tokens(job, made, held)
    else:
        made.notes.append(f"settings only: tokens are expected under {job.root}; --workspace writes them")
    return made


def write_tokens(job: Job, made: Export, names: list[str]) -> None:
    """Both splits of each domain as the token files of Megatron (and of GPT-NeoX, which reads the same)."""
    for name in names:
        for split in ("train", "heldout"):
            tokens = job.tokens(name, split)
            documents = (tokens.document(i) for i in range(tokens.documents))
            write_megatron(job.path("data", f"{name}_{split}_text_document"), documents, tokens.facts.vocab_size)
            made.files += [f"data/{name}_{split}_text_document{end}" for end in (".bin", ".idx")]


def _prefix(job: Job, name: str, split: str) -> str:
    return f"{job.root}/{name}_{split}_text_document"


def _driver(job: Job, made: Export) -> str:
    """A shell script that starts each phase with its own blend; sample counts are those of its phase."""
    lines = [
        "#!/usr/bin/env bash",
        "# Starts the phases of the recipe one after the other; pass the model's own arguments to this script.",
        f"# The global batch must stay {job.batch}: phases are counted in it.",
        "set -euo pipefail",
        'here="$(cd "$(dirname "$0")" && pwd)"',
    ]
    phases = spans(job)
    ends = ",".join(str(span.end) for span in phases[:-1])
    for span in phases:
        transition = f" --phase-transition-iterations {ends}" if ends else ""
        lines.append(
            f'"${{MEGATRON:-pretrain_gpt.py}}" "$@" --data-args-path "$here/phase-{span.number}.args" '
            f"--seq-length {span.phase.seq_len} --global-batch-size {job.batch} "
            f"--train-iters {phases[-1].end}{transition} --seed {job.seed + 1}"
        )
    return "\n".join(lines) + "\n"
