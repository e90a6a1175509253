"""Megatron-LM, and through the same files NeMo and Megatron-Bridge. Unit: fixed-length samples, that is tokens.

Per phase an arguments file (`--data-args-path`) and a per-split JSON (`--per-split-data-args-path`); more than one
phase also gets the iterations at which Megatron must save, exit and be started with the next file, under a seed of
its own: with the same one it would begin every phase with the same samples. Zero weights are
left out (Megatron asserts), as are held-out files without a document, which it cannot map; weights are plain decimals
and paths are never numbers (its parser tells a weight from a path by trying). Refuses a share that would be less than
one sample of its phase.
"""

import glob
import os
from typing import cast

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem
from ...corpus.store.workspace import Workspace
from ...training.data.tokenizer import load_tokenizer
from .frame import (
    Export,
    ExportJob,
    begin,
    decimals,
    held_domains,
    positive,
    say_phases_begin_anew,
    spans,
    used_domains,
    write_json,
    write_text,
)
from .token_files import write_megatron


def export(job: ExportJob) -> Export:
    if job.root.split() != [job.root]:
        raise RequestError(f"megatron parts its blend at white space, and the data would lie under {job.root!r}")
    made = begin(job, "megatron", "rows")
    phases = spans(job)
    held = held_domains(job, made) if job.workspace is not None else []
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
    os.chmod(write_text(job, made, "run.sh", _driver(job, made)), 0o755)
    say_phases_begin_anew(job, made, fresh=True)
    if any(span.phase.seq_len != phases[0].phase.seq_len for span in phases):
        made.notes.append("phases differ in --seq-length: run.sh passes each its own")
    if job.workspace is not None:
        say_old_indices(job, made)
        write_tokens(job, made, used_domains(job), held)
        write_tokenizer(job, made)
    else:
        made.notes.append(f"settings only: tokens are expected under {job.root}; --workspace writes them")
    return made


def say_old_indices(job: ExportJob, made: Export) -> None:
    """Note indices that Megatron or NeoX made of files that lay here before: it knows them by path and size of a run,
    not by what the files hold."""
    found = [name for pattern in ("cache", "*indexmap*") for name in glob.glob(pattern, root_dir=job.data_folder)]
    if found:
        made.notes.append(
            f"data/ holds indices of other token files ({found[0]}), which {made.trainer} would take for those of "
            f"these: remove them"
        )


def write_tokens(job: ExportJob, made: Export, names: list[str], held: list[str]) -> None:
    """Both splits of each domain (the held-out one where it has documents) as the token files of Megatron and NeoX."""
    for name in names:
        for split in ("train", "heldout") if name in held else ("train",):
            tokens = job.tokens(name, split)
            documents = (tokens.document(i) for i in range(tokens.documents))
            write_megatron(job.path("data", f"{name}_{split}_text_document"), documents, tokens.facts.vocab_size)
            made.files += [f"data/{name}_{split}_text_document{end}" for end in (".bin", ".idx")]


def write_tokenizer(job: ExportJob, made: Export) -> None:
    """The tokenizer of the tokens, as a folder that `AutoTokenizer` opens."""
    assert job.workspace is not None
    facts = job.tokens(used_domains(job)[0]).facts
    text = read_tokenizer(job.workspace)
    names = load_tokenizer(text)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": names.id_to_token(facts.bos)}
    config["eos_token"] = names.id_to_token(facts.bos if facts.eos is None else facts.eos)
    write_text(job, made, "tokenizer/tokenizer.json", text)
    write_json(job, made, "tokenizer/tokenizer_config.json", config)


def read_tokenizer(workspace: Workspace) -> str:
    """The text of the workspace's `tokenizer.json`."""
    fs, path = filesystem(workspace.path("tokenizer", "tokenizer.json"))
    with fs.open(path, "rb") as file:
        return cast(bytes, file.read()).decode()


def _prefix(job: ExportJob, name: str, split: str) -> str:
    return f"{job.root}/{name}_{split}_text_document"


def _driver(job: ExportJob, made: Export) -> str:
    """A shell script that starts each phase with its own blend; sample counts are those of its phase."""
    lines = [
        "#!/usr/bin/env bash",
        "# Starts the phases of the recipe one after the other; pass the model's own arguments to this script.",
        f"# The global batch must stay {job.batch}: phases are counted in it.",
        "set -euo pipefail",
        'here="$(cd "$(dirname "$0")" && pwd)"',
    ]
    phases = spans(job)
    written = job.workspace is not None
    tokenizer = ' --tokenizer-type HuggingFaceTokenizer --tokenizer-model "$here/tokenizer"' if written else ""
    ends = ",".join(str(span.end) for span in phases[:-1])
    for span in phases:
        transition = f" --phase-transition-iterations {ends}" if ends else ""
        lines.append(
            f'${{LAUNCHER:-torchrun}} "${{MEGATRON:-pretrain_gpt.py}}" "$@"{tokenizer} '
            f'--data-args-path "$here/phase-{span.number}.args" '
            f"--seq-length {span.phase.seq_len} --global-batch-size {job.batch} "
            f"--train-iters {phases[-1].end}{transition} --seed {job.seed + span.number}"
        )
    return "\n".join(lines) + "\n"
