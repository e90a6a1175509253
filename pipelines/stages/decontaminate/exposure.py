"""Has a model seen the evaluation sets? Scores of every example under a model, beside what was found in the documents.

`contamination_audit/` has a row per example: whether a document holds it (`found`, from `contamination/`), and three
scores that are larger where a model is likelier to have been trained on it: `min_k` (Min-K%++), `dc_pdd` (DC-PDD) and
`zlib_ratio` (log probability in bits over the bits that zlib needs). A task whose unfound examples score like its found
ones was seen in another wording; examples must be compared within a task, for texts differ in how likely they are.

Refuses a model that does not tell which tokens it has seen (DC-PDD needs that), one that reads other tokens than the
tokenizer given, and a workspace that `gristmill decontaminate` has not searched.
"""

import hashlib
import zlib
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from ....corpus.store.calls import File, Folder
from ....corpus.store.shards import checksum, committed, fingerprint, open_shard, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.decontamination import read_examples
from ....proxy_models.model_files import read_model
from ...engine.stage import Plan, Report, Stage, shard_graph
from ..train.model_places import model_inputs, read_file, tokenizer_of
from .stage import HITS_TABLE

STAGE, TABLE = "exposure", "contamination_audit"
SCORES = ("nll", "min_k", "dc_pdd", "zlib_ratio")
ROWS = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("example", pa.int64(), nullable=False),  # its place in the file, from 0
        pa.field("found", pa.bool_(), nullable=False),  # some document held a piece of it
        pa.field("n_tokens", pa.int32()),
        *((name, pa.float64()) for name in SCORES),  # nll: mean over tokens, nats; null for a text without a token
    ]
)


class ExposureSettings(BaseModel, frozen=True, extra="forbid"):
    """Which examples, and which model."""

    sets: dict[str, File] = Field(min_length=1)  # task -> JSONL file
    model: Folder  # a proxy model: proxies/color/prior.safetensors of a workspace is one
    tokenizer: File | None = None  # a tokenizer.json; None: the one beside the model, or the workspace's
    chunk_tokens: int = Field(default=128, ge=2)  # of an example, read at once


def _inputs(workspace: Workspace, settings: ExposureSettings) -> dict[str, str]:
    files = model_inputs(workspace, settings.model, settings.tokenizer, "audit")
    found = {f"file:{name}": content for name, content in files.items()}
    found[HITS_TABLE] = workspace.table(HITS_TABLE).finished(STAGE).fingerprint
    return found | {f"set {task}": checksum(path) for task, path in sorted(settings.sets.items())}


def _graph(pipeline: beam.Pipeline, plan: Plan[ExposureSettings]) -> beam.PCollection:
    return shard_graph(pipeline, plan, sorted(plan.settings.sets), score_task, tables=(TABLE,))


exposure: Stage[ExposureSettings] = Stage(
    name=STAGE,
    version=1,
    tables=(TABLE,),
    inputs=_inputs,
    graph=_graph,
    work=lambda workspace, settings: len(settings.sets),
    redecides=True,
)


def score_task(plan: Plan[ExposureSettings], task: str) -> Iterator[Report]:
    """Score the examples of one task."""
    name = f"{hashlib.sha256(task.encode()).hexdigest()[:16]}.parquet"
    url = plan.workspace.table(TABLE).shard_url(name)
    stamp = fingerprint(STAGE, plan.version, plan.recorded, task, sorted(plan.inputs.items()))
    if committed(url, stamp) is None:
        examples = read_examples(plan.settings.sets[task])
        held = _found(plan.workspace, task)
        settings = plan.settings
        tokenizer = tokenizer_of(plan.workspace, settings.model, settings.tokenizer, "audit")
        rows = scored(
            examples, read_model(settings.model, "audit"), read_file(tokenizer).decode(), settings.chunk_tokens
        )
        with open_shard(url, ROWS, stamp) as out:
            out.write_rows([{"task": task, "example": n, "found": n in held} | row for n, row in enumerate(rows)])
            out.counts |= {"examples": len(rows), "found": len(held)}
    yield TABLE, committed(url, stamp)


def _found(workspace: Workspace, task: str) -> set[int]:
    """Examples of the task that some document holds."""
    table = workspace.table(HITS_TABLE)
    found: set[int] = set()
    for shard in table.finished(STAGE).shards:
        for batch in read_batches(table.shard_url(shard.name), ["task", "example"]):
            pairs = zip(batch["task"].to_pylist(), batch["example"].to_pylist(), strict=True)
            found |= {example for own, example in pairs if own == task}
    return found


def scored(texts: list[str], model: bytes, tokenizer: str, chunk_tokens: int = 128) -> list[dict[str, float | None]]:
    """n_tokens and `SCORES` of each text under the model."""
    from ....proxy_models.model_files import ProxyModel
    from ....proxy_models.scoring.pair import ScorePair
    from ....proxy_models.scoring.token_losses import threads

    own = ProxyModel.from_bytes(model, "--audit")
    longest = min(chunk_tokens, own.transformer.config.max_len)
    with threads(1):
        batches = list(ScorePair(tokenizer, {"own": own}, longest, details=True).score([""] * len(texts), texts))
    rows = [row for batch in batches for row in batch.drop_columns(["id", "chunks"]).to_pylist()]
    return [_row(text, row) for text, row in zip(texts, rows, strict=True)]


def _row(text: str, told: dict[str, float]) -> dict[str, float | None]:
    packed = 8 * len(zlib.compress(text.encode(), 9))
    nll = told["nll_own"]
    ratio = None if nll is None else -nll * told["n_tokens"] / np.log(2) / packed
    return {"n_tokens": told["n_tokens"], "nll": nll, "min_k": told["min_k_own"], "dc_pdd": told["dc_pdd_own"],
            "zlib_ratio": ratio}  # fmt: skip
