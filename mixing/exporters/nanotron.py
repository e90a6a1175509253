"""nanotron `data_stages`: one stage per phase, with its own weights and sequence length. Unit: samples, that is tokens.

Emits lists for `dataset_folder` and `dataset_weights` (the mapping in its documents is not what its dataclass reads)
and, from a workspace, datatrove `.ds` shards. The tokenizer's name in their metadata is a path, because nanotron would
otherwise fetch it by name.

A stage's samples follow one pass of as many samples as all its domains have rows, in which each domain has its weight
(`nanoset.py: build_nanoset_index`): a run longer than that repeats the pass, so that rows beyond it are never read.
What that means for a recipe is said. Refuses a domain without a single row.
"""

import os

import yaml

from ...corpus.store.errors import RequestError
from .frame import (
    Export,
    ExportJob,
    PhaseSteps,
    begin,
    held_domains,
    positive,
    say_phases_begin_anew,
    spans,
    used_domains,
    write_text,
)
from .token_files import write_ds


def export(job: ExportJob) -> Export:
    made = begin(job, "nanotron", "rows")
    stages = []
    tokenizer = f"{job.root}/tokenizer.json"
    tokens = job.recipe.tokenizer
    for span in spans(job):
        shares = positive(span.phase)
        stages.append(
            {
                "name": f"phase {span.number}",
                "start_training_step": span.begin + 1,  # nanotron counts steps from 1
                "sequence_length": span.phase.seq_len,
                "data": {
                    "dataset": {
                        "dataset_folder": [f"{job.root}/{name}" for name in shares],
                        "dataset_weights": list(shares.values()),
                        "tokenizer_name": tokenizer,
                        "vocab_size": tokens.vocab_size if tokens else None,
                        "token_size_in_bytes": 2 if tokens is None or tokens.vocab_size <= 1 << 16 else 4,
                    },
                    "num_loading_workers": 1,
                    "seed": job.seed + span.number - 1,  # the same one would begin with the same samples
                },
            }
        )
        say_pass(job, made, span)
        made.add(shares, shares, shares)
    say_phases_begin_anew(job, made, fresh=True)
    content = {"data_stages": stages, "tokens": {"train_steps": spans(job)[-1].end}}
    write_text(job, made, "data_stages.yaml", yaml.safe_dump(content, sort_keys=False))
    made.notes.append(f"merge data_stages.yaml into the run's file; its batch must be {job.batch} sequences a step")
    if job.workspace is not None:
        held_domains(job, made)
        for name in used_domains(job):
            source = job.tokens(name)
            documents = (source.document(i) for i in range(source.documents))
            write_ds(os.path.join(job.data_folder, name, "00000.ds"), documents, source.facts.dtype, tokenizer)
            made.files.append(f"data/{name}/00000.ds")
    return made


def say_pass(job: ExportJob, made: Export, span: PhaseSteps) -> None:
    """Refuse a domain without a row, and note the domains that a stage reads in part again and again, by its rule."""
    shares = positive(span.phase)
    rows = {name: job.recipe.domains[name].tokens_available // (span.phase.seq_len + 1) for name in shares}
    none = [name for name, count in rows.items() if count < 1]
    if none:
        raise RequestError(f"nanotron: {', '.join(none)} has not one row of {span.phase.seq_len + 1} tokens")
    passed, samples = sum(rows.values()), span.steps * job.batch
    never = {name: 1 - share * passed / rows[name] for name, share in shares.items()}
    lost = [f"{part:.0%} of {name}" for name, part in never.items() if samples > passed and part > 0.01]
    if lost:
        made.notes.append(
            f"nanotron repeats a pass of {passed} samples {samples / passed:.3g} times in phase {span.number}, in "
            f"which {', '.join(lost)} never comes; gristmill train reads it"
        )
