"""MosaicML streaming and llm-foundry: `streams` with `proportion`, one YAML per phase. Unit: MDS samples, tokens.

Samples are rows of the phase's sequence length, so a proportion is a share of tokens. `epoch_size` is always written:
without it proportions only re-slice the same total. `batching_method: random` honours proportions in expectation.
"""

import os

import yaml

from ...corpus.store.errors import RequestError
from .frame import Export, ExportJob, begin, positive, say_phases_begin_anew, spans, used_domains, write_text
from .rows import fixed_rows
from .token_files import write_mds


def export(job: ExportJob) -> Export:
    made = begin(job, "foundry", "rows")
    lengths = {span.phase.seq_len for span in spans(job)}
    if len(lengths) > 1:
        raise RequestError("MDS rows have one length and the phases differ in it; export them as two recipes")
    seq_len = lengths.pop()
    for span in spans(job):
        shares = positive(span.phase)
        streams = {
            name: {"local": f"{job.root}/{name}", "remote": None, "split": None, "proportion": share}
            for name, share in shares.items()
        }
        samples = span.steps * job.batch
        content = {
            "train_loader": {
                "name": "text",
                "dataset": {
                    "streams": streams,
                    "epoch_size": samples,
                    "shuffle": True,
                    "shuffle_seed": job.seed + span.number - 1,  # the same one would begin with the same samples
                    "batching_method": "random",
                    "max_seq_len": seq_len,
                },
                "drop_last": True,
                "num_workers": 1,
            },
            "global_train_batch_size": job.batch,
            "max_duration": f"{span.steps}ba",
        }
        write_text(job, made, f"phase-{span.number}.yaml", yaml.safe_dump(content, sort_keys=False))
        made.add(shares, shares, shares)
    if len(job.recipe.phases) > 1:
        made.notes.append("llm-foundry has no phases: run each file from the last checkpoint")
        say_phases_begin_anew(job, made, fresh=True)
    if job.workspace is not None:
        for name in used_domains(job):
            source = job.tokens(name)
            rows = fixed_rows(source, seq_len)
            if not write_mds(os.path.join(job.data_folder, name), rows, source.facts.dtype):
                raise RequestError(f"foundry: {name} has {source.tokens} tokens, fewer than one row of {seq_len}")
            made.files.append(f"data/{name}/index.json")
    return made
