"""lingua: `data.sources` by directory, one YAML per phase. Unit: documents.

Weights are share / mean tokens per document. One chunk file a source: lingua leaves out chunks beyond the number of
its processes without a word, so exactly one (or two, four, eight) is what every world size reads whole.
"""

import json
import os

import yaml

from .frame import (
    Export,
    ExportJob,
    begin,
    document_weights,
    positive,
    say_phases_begin_anew,
    say_small_tables,
    spans,
    token_shares,
    used_domains,
    write_text,
)


def export(job: ExportJob) -> Export:
    made = begin(job, "lingua", "documents")
    for span in spans(job):
        shares = positive(span.phase)
        weights = document_weights(job.recipe, shares)
        scaled = {name: weight * 100 for name, weight in weights.items()}
        content = {
            "data": {
                "root_dir": job.root,
                "sources": scaled,
                "seq_len": span.phase.seq_len,
                "n_views": 2,
                "batch_size": job.batch,
                "seed": job.seed,
            },
            "steps": span.steps,
        }
        write_text(job, made, f"phase-{span.number}.yaml", yaml.safe_dump(content, sort_keys=False))
        made.add(shares, scaled, token_shares(job.recipe, weights))
    made.notes.append(f"batch_size is the batch of all processes: divide {job.batch} by their number")
    if len(job.recipe.phases) > 1:
        made.notes.append(
            "a checkpoint of lingua holds the sources and weights it was made with and goes on with those: start each "
            "later phase in a dump_dir of its own, with checkpoint.init_ckpt_path"
        )
        say_phases_begin_anew(job, made, fresh=False)
    say_small_tables(job, made)
    if job.workspace is not None:
        for name in used_domains(job):
            path = os.path.join(job.data_folder, name, f"{name}.chunk.00.jsonl")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                for document in job.texts(name):
                    file.write(json.dumps(document, ensure_ascii=False) + "\n")
            made.files.append(f"data/{name}/{name}.chunk.00.jsonl")
    return made
