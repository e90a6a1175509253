"""nanotron `data_stages`: one stage per phase, with its own weights and sequence length. Unit: samples, that is tokens.

Emits lists for `dataset_folder` and `dataset_weights` (the mapping in its documents is not what its dataclass reads)
and, from a workspace, datatrove `.ds` shards. The tokenizer's name in their metadata is a path, because nanotron would
otherwise fetch it by name.
"""

import os

import yaml

from .frame import Export, ExportJob, begin, held_domains, positive, spans, used_domains, write_text
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
                    "seed": job.seed,
                },
            }
        )
        made.add(shares, shares, shares)
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
