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

import numpy as np
import pyarrow as pa

from ....corpus.store.fate import refuse_stale
from ....corpus.store.shards import checksum, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.decontamination import read_examples
from ....proxy_models.model_files import read_model
from ...engine.graph import Report, Work, commit, map_blocks
from ...engine.stage import Plan, Stage
from ..train.model_places import model_inputs, read_file, tokenizer_of
from .settings import ExposureSettings as ExposureSettings
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


def _inputs(workspace: Workspace, settings: ExposureSettings) -> dict[str, str]:
    files = model_inputs(workspace, settings.model, settings.tokenizer, "audit")
    found = {f"file:{name}": content for name, content in files.items()}
    refuse_stale(workspace, HITS_TABLE, STAGE)
    found[HITS_TABLE] = workspace.table(HITS_TABLE).finished(STAGE).fingerprint
    return found | {f"set:{task}": checksum(path) for task, path in sorted(settings.sets.items())}


exposure: Stage[ExposureSettings] = Stage(
    name=STAGE,
    command="decontaminate",
    version=2,
    tables=(TABLE,),
    inputs=_inputs,
    graph=lambda pipeline, plan: commit(map_blocks(pipeline, plan, score_task), plan),
    items=lambda plan: [Work(task, {}) for task in sorted(plan.settings.sets)],
    whole=True,
    redecides=True,
)


def score_task(work: Work, plan: Plan[ExposureSettings]) -> Iterator[Report]:
    """Score the examples of one task."""
    task, settings = work.name, plan.settings
    examples = read_examples(settings.sets[task])
    held = _found(plan.workspace, task)
    tokenizer = tokenizer_of(plan.workspace, settings.model, settings.tokenizer, "audit")
    rows = scored(examples, read_model(settings.model, "audit"), read_file(tokenizer).decode(), settings.chunk_tokens)
    with plan.writer(TABLE, f"{hashlib.sha256(task.encode()).hexdigest()[:16]}.parquet", ROWS) as out:
        out.write_rows([{"task": task, "example": n, "found": n in held} | row for n, row in enumerate(rows)])
        out.counts |= {"examples": len(rows), "found": len(held)}
    yield TABLE, out.shard


def _found(workspace: Workspace, task: str) -> set[int]:
    """Examples of the task that some document holds."""
    table = workspace.table(HITS_TABLE)
    found: set[int] = set()
    for shard in table.finished(STAGE).shards:
        for batch in read_batches(table.file_url(shard), ["task", "example"]):
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
