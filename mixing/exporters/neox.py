"""GPT-NeoX: `train-data-paths` beside `train-data-weights`. Unit: fixed-length samples, that is tokens.

Its token files are Megatron's. `weight_by_num_documents` is written false, because where it is true NeoX puts weights
of its own in the place of those given. Zero weights are left out. Refuses phases: NeoX has one mixture a run and counts
its samples from the run's beginning.
"""

import yaml

from ...corpus.store.errors import RequestError
from .frame import Export, ExportJob, begin, held_domains, need_held_out, positive, spans, used_domains, write_text
from .megatron import say_old_indices, write_tokens


def export(job: ExportJob) -> Export:
    made = begin(job, "neox", "rows")
    phases = spans(job)
    if len(phases) > 1:
        raise RequestError(f"GPT-NeoX has one mixture a run, the recipe has {len(phases)} phases; use megatron")
    span = phases[0]
    shares = positive(span.phase)
    names = list(shares)
    held = held_domains(job, made) if job.workspace is not None else names
    if not held:
        need_held_out(job, made)
    content = {
        "train-data-paths": [f"{job.root}/{name}_train_text_document" for name in names],
        "train-data-weights": [shares[name] for name in names],
        "valid-data-paths": [f"{job.root}/{name}_heldout_text_document" for name in held],
        "valid-data-weights": [1.0] * len(held),
        "test-data-paths": [f"{job.root}/{name}_heldout_text_document" for name in held],
        "test-data-weights": [1.0] * len(held),
        "weight_by_num_documents": False,
        "data-impl": "mmap",
        "seq-length": span.phase.seq_len,
        "train-iters": span.steps,
        "seed": job.seed,
    }
    write_text(job, made, "data.yml", yaml.safe_dump(content, sort_keys=False))
    made.add(shares, shares, shares)
    made.notes.append(f"steps are counted in global batches of {job.batch} sequences")
    if job.workspace is None:
        made.notes.append(f"settings only: tokens are expected under {job.root}; --workspace writes them")
        return made
    say_old_indices(job, made)
    write_tokens(job, made, used_domains(job), held)
    return made
