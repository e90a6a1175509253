"""MaxText's Grain pipeline: one `grain_train_mixture_config_path` JSON per phase. Unit: records, that is documents.

It mixes records before it packs them, so weights are share / mean tokens per document. Grain turns weights into
integers with the smallest at 100; the realised shares are computed by that rule. Zero weights are left out: Grain
refuses them. Each domain has a folder of its own, because the files of `web` by their beginning are those of `web.easy`
too.
"""

from .frame import (
    Export,
    ExportJob,
    begin,
    document_weights,
    positive,
    say_small_tables,
    spans,
    token_shares,
    used_domains,
    write_json,
)
from .levanter import write_jsonl


def grain_proportions(weights: dict[str, float]) -> dict[str, int]:
    """Grain's integers for weights: scaled so that the smallest becomes 100, then truncated."""
    smallest = min(weights.values())
    return {name: int(weight / smallest * 100) for name, weight in weights.items()}


def export(job: ExportJob) -> Export:
    made = begin(job, "maxtext", "documents")
    for span in spans(job):
        shares = positive(span.phase)
        weights = document_weights(job.recipe, shares)
        whole = grain_proportions(weights)
        content = {
            name: {"path": f"{job.root}/{name}/*.array_record", "weight": weight} for name, weight in weights.items()
        }
        write_json(job, made, f"phase-{span.number}.json", content)
        realised = {name: count / sum(whole.values()) for name, count in whole.items()}
        made.add(shares, weights, token_shares(job.recipe, realised))
    made.notes.append(
        "MaxText reads ArrayRecord files of documents; make them from the JSON lines under data/, those of each domain "
        "in a folder of its own, as the paths say"
    )
    if len(job.recipe.phases) > 1:
        made.notes.append("for the next phase resume with its JSON: MaxText reads the file anew at every start")
    say_small_tables(job, made)  # a host reads every so manieth record
    if job.workspace is not None:
        for name in used_domains(job):
            write_jsonl(job, f"{name}.jsonl.gz", name)
            made.files.append(f"data/{name}.jsonl.gz")
    return made
