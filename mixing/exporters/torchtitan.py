"""torchtitan: a Python module, because its command line cannot express a mixture. Unit: packed rows, that is tokens.

Dialect `main` (its Grain pipeline): each domain is packed first and rows are mixed after, so that weights count tokens;
mixed before packing they would count documents. Dialect `0.3`: the interleaved Hugging Face loader, whose sources emit
packed rows. Grain turns weights into integers with the smallest at 100; realised shares follow that rule.
"""

from ...corpus.store.errors import RequestError, unknown_name
from .frame import (
    Export,
    ExportJob,
    begin,
    positive,
    say_phases_begin_anew,
    say_small_tables,
    spans,
    used_domains,
    write_text,
)
from .hf import write_texts
from .maxtext import grain_proportions

MAIN = '''"""The mixture of a gristmill recipe for torchtitan's Grain pipeline: `config.dataloader = dataloader(phase)`.

Rows are packed within each domain and mixed after, so weights are shares of tokens. Run each phase for STEPS[phase].
"""

from torchtitan.components.data import (
    ConcatThenSplitPackingConfig,
    DatasetMixConfig,
    GrainDataLoader,
    HuggingFaceRandomAccessSource,
    SingleDatasetConfig,
    WeightedDataset,
)
from torchtitan.hf_datasets.text_datasets import TextProcessor

ROOT = {root!r}
SEED = {seed!r}
WEIGHTS = {weights!r}
STEPS = {steps!r}  # phase -> optimiser steps of {batch} sequences
SEQ_LEN = {lengths!r}


def text_of(row):
    return row["text"]


def domain(name):
    source = HuggingFaceRandomAccessSource.Config(
        path="parquet", split="train", load_dataset_kwargs={{"data_files": f"{{ROOT}}/{{name}}.parquet"}}
    )
    documents = SingleDatasetConfig(source=source, processor=TextProcessor.Config(text_fn=text_of))
    return ConcatThenSplitPackingConfig(dataset=documents)


def dataloader(phase=1):
    chosen = WEIGHTS[phase]
    mixed = DatasetMixConfig(
        datasets=tuple(WeightedDataset(dataset=domain(name), weight=chosen[name]) for name in sorted(chosen))
    )
    return GrainDataLoader.Config(dataset=mixed, seed=SEED + phase, shuffle=True, repeat=True)
'''

OLD = '''"""The mixture of a gristmill recipe for torchtitan 0.3: `config.dataloader = dataloader(phase)`.

Sources emit packed rows, so weights are shares of tokens. Run each phase for STEPS[phase].
"""

from datasets import load_dataset
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets.text_datasets import DATASETS, HFDataSource, InterleavedHuggingFaceTextDataLoader

ROOT = {root!r}
SEED = {seed!r}
WEIGHTS = {weights!r}
STEPS = {steps!r}  # phase -> optimiser steps of {batch} sequences
SEQ_LEN = {lengths!r}


def load(path):
    return load_dataset("parquet", data_files=path, split="train", streaming=True)


def text_of(row):
    return row["text"]


def dataloader(phase=1):
    chosen = WEIGHTS[phase]
    sources = []
    for name in sorted(chosen):
        DATASETS["gristmill_" + name] = DatasetConfig(
            path=f"{{ROOT}}/{{name}}.parquet", loader=load, sample_processor=text_of
        )
        sources.append(HFDataSource(dataset="gristmill_" + name, weight=chosen[name], infinite=True))
    return InterleavedHuggingFaceTextDataLoader.Config(sources=sources, seed=SEED + phase)
'''
DIALECTS = {"main": MAIN, "0.3": OLD}


def export(job: ExportJob) -> Export:
    made = begin(job, "torchtitan", "rows")
    dialect = job.dialect or "main"
    if dialect not in DIALECTS:
        raise unknown_name("dialect of torchtitan", dialect, DIALECTS, where="--dialect")
    weights = {}
    for span in spans(job):
        shares = weights[span.number] = positive(span.phase)
        realised = shares
        if dialect == "main":
            whole = grain_proportions(shares)
            realised = {name: count / sum(whole.values()) for name, count in whole.items()}
        made.add(shares, shares, realised)
    if not any(weights.values()):
        raise RequestError("the recipe has no domain with a share")
    text = DIALECTS[dialect].format(
        root=job.root,
        seed=job.seed,
        weights=weights,
        steps={span.number: span.steps for span in spans(job)},
        lengths={span.number: span.phase.seq_len for span in spans(job)},
        batch=job.batch,
    )
    write_text(job, made, "mixture.py", text)
    made.notes.append("sources are sorted by name: torchtitan seeds them by place, so inserting one reseeds the later")
    if len(weights) > 1:
        made.notes.append("torchtitan has no phases: run each for its STEPS, from the last checkpoint")
        say_phases_begin_anew(job, made, fresh=dialect == "main")  # the older one's seed shuffles the draw of sources
    say_small_tables(job, made)
    if job.workspace is not None:
        for name in used_domains(job):
            write_texts(job, name)
            made.files.append(f"data/{name}.parquet")
    return made
