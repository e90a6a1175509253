"""OLMo-core `SourceMixtureDatasetConfig`: token targets with a cap on repetition. Unit: tokens.

One YAML per phase, because a source mixture is one data set. Ratios are written with every digit and sum to 1, which
OLMo checks. It counts in whole instances and rounds each source up to them, so small budgets drift: the realised shares
are computed by that rule, and a drift beyond one per cent is refused. Token files are raw, in spite of `.npy`.
"""

import math
import os

import yaml

from ...corpus.store.errors import RequestError
from .frame import Export, ExportJob, begin, positive, say_phases_begin_anew, spans, used_domains, write_text
from .token_files import write_raw


def export(job: ExportJob) -> Export:
    made = begin(job, "olmo", "tokens")
    recipe = job.recipe
    for span in spans(job):
        shares = positive(span.phase)
        requested = span.steps * job.batch * span.phase.seq_len
        sources = []
        for name, share in shares.items():
            need = share * requested / recipe.domains[name].tokens_available
            cap = recipe.domains[name].max_epochs
            if cap is not None and need > cap:
                raise RequestError(f"olmo: phase {span.number} repeats {name} {need:.3g} times, its cap is {cap:.3g}")
            sources.append(
                {
                    "source_name": name,
                    "target_ratio": share,
                    "paths": [f"{job.root}/{name}.npy"],
                    "max_repetition_ratio": max(1.0, math.ceil(need * 1.01 * 100) / 100),
                    "max_source_fraction": 1.0,
                }
            )
        content = {
            "requested_tokens": requested,
            "global_batch_size": job.batch * span.phase.seq_len,
            "sequence_length": span.phase.seq_len,
            "seed": job.seed,
            "dtype": "uint16" if recipe.tokenizer is None or recipe.tokenizer.vocab_size <= 1 << 16 else "uint32",
            "source_list": {"sources": sources},
        }
        write_text(job, made, f"phase-{span.number}.yaml", yaml.safe_dump(content, sort_keys=False))
        made.add(shares, shares, rounded_up(shares, requested, span.phase.seq_len))
    if len(recipe.phases) > 1:
        made.notes.append("one file per phase: start the next from the last checkpoint with its file")
        say_phases_begin_anew(job, made, fresh=False)
    if job.workspace is not None:
        for name in used_domains(job):
            source = job.tokens(name)
            end = source.facts.bos if source.facts.eos is None else source.facts.eos
            documents = (source.document(i) for i in range(source.documents))
            write_raw(os.path.join(job.data_folder, f"{name}.npy"), documents, source.facts.dtype, end)
            made.files.append(f"data/{name}.npy")
    return made


def rounded_up(shares: dict[str, float], requested: int, seq_len: int) -> dict[str, float]:
    """Token shares once every source is rounded up to whole instances."""
    tokens = {name: math.ceil(share * requested / seq_len) * seq_len for name, share in shares.items()}
    return {name: value / sum(tokens.values()) for name, value in tokens.items()}
