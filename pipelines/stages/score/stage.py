"""Score: a scoring method is fitted to samples, then every surviving document gets its column `score`.

Two stages in one command. `proxies/<name>/` first: every shard reports which of its documents belong to a sample drawn
by id hash (ids and byte counts cross the shuffle, text does not), and one worker reads the samples and fits the method
(for CoLoR-Filter: trains its two models). Then `scores/<name>/`, shard by shard through Beam's RunInference: what is
sent to a model is the name of a shard, and the model's worker reads it, scores it in length-sorted batches and writes
it, so neither text nor tokens cross a shuffle.

Refuses an unknown target, a method without what it needs, and a sample in which a target has no document.
"""

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from ....corpus.readers.text_names import stem
from ....corpus.store import fate
from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import checksum, filesystem
from ....corpus.store.workspace import Workspace
from ....proxy_models.model_files import find_model
from ....proxy_models.scoring.sampling import Samples, draw, is_file, read_target, within
from ....proxy_models.scoring.scorers import Scorer, ScoreSettings, fit, needs_sample, open_scorer
from ....proxy_models.scoring.token_losses import threads
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, done_or, gather, infer_shards, map_blocks
from ...engine.held.rows import KeepById
from ...engine.progress import Note
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..train.model_places import read_file

if TYPE_CHECKING:
    import apache_beam as beam

# method -> the largest difference of a value between two kinds of processors (benchmarks/results/processor_kinds.txt)
BETWEEN_PROCESSORS = {"dsir": 0.0, "zipfit": 0.0, "color": 2e-6, "perplexity": 2e-6, "rds": 5e-7}
RANDOM = ""  # the purpose under which the sample of the whole corpus is drawn
SELECT = "select"  # scores are of the documents that every stage before it kept
CANDIDATES = pa.schema([("purpose", pa.string()), ("draw", pa.uint64()), ("id", pa.string()), ("bytes", pa.int64())])


def score(
    workspace: Workspace, settings: ScoreSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring `proxies/<name>/` and `scores/<name>/` up to date. The summary of both, in one."""
    settings = settings.checked()
    first = run_stage(fit_stage(settings), workspace, settings, options, force, quiet)
    again = force or not first["skipped"]
    second = run_stage(score_stage(settings), workspace, settings, options, again, quiet)
    skipped = first["skipped"] and second["skipped"]
    return second | {"stage": "score", "skipped": skipped, "tables": first["tables"] | second["tables"]}


# ---- fitting


def fit_stage(settings: ScoreSettings) -> Stage[ScoreSettings]:
    return Stage(
        name=f"proxies/{settings.table}",
        command=f"score {settings.method}",
        version=2,  # targets are brought into the form of documents
        tables=(f"proxies/{settings.table}",),
        inputs=fit_inputs,
        graph=fit_graph,
        items=lambda plan: (Work.of(source) for source in _sources(plan.workspace).values()),
        whole=True,
        details=lambda plan, shards, findings: findings[0],
        fitted=True,
    )


def fit_inputs(workspace: Workspace, settings: ScoreSettings) -> dict[str, str]:
    """The documents, and checksums of the files that the request names."""
    found = fate.inputs(workspace, "score", chain_before(SELECT))
    files = [target for target in settings.targets if is_file(target)]
    named: dict[str, str] = {}
    for target in settings.targets:
        name = _target_name(target)
        if name in named:
            raise RequestError(
                f"--target {target}: it and {named[name]} both would be the column {name}; rename one of them"
            )
        named[name] = target
    models = [find_model(path, name) for name, path in settings.models.items()]
    for path in (*files, *models, *((settings.tokenizer,) if settings.tokenizer else ())):
        fs, place = filesystem(path)
        if not fs.exists(place):
            raise RequestError(f"score {settings.method}: there is no file {path}")
        name = os.path.basename(path)
        found[f"file:{name}" if f"file:{name}" not in found else f"file:{len(found)} {name}"] = checksum(path)
    own = workspace.table("tokenizer").manifest()
    if settings.tokenizer is None and own is not None:
        found[own.table] = own.fingerprint  # a table: what was fitted stays in force when it changes
    return found


def fit_graph(pipeline: "beam.Pipeline", plan: Plan[ScoreSettings]) -> "beam.PCollection":
    """Shards -> the samples each would give -> one group -> the artefacts."""
    return commit(gather(map_blocks(pipeline, plan, sample_shard), "fit", fit_samples, plan.bare), plan)


Sample = tuple[Work, pa.RecordBatch, list[str]]


def sample_shard(work: Work, plan: Plan[ScoreSettings]) -> Iterator[Sample]:
    """(item, candidates, domains seen): the documents that any sample of the corpus could take."""
    settings: ScoreSettings = plan.settings
    candidates: dict[str, list[tuple[int, str, int]]] = {}
    domains: set[str] = set()
    for batch in work.documents.read(["id", "domain", "text"]):
        for id, domain, text in zip(*(batch[name].to_pylist() for name in ("id", "domain", "text")), strict=True):
            domains.add(domain)
            purposes = [RANDOM] * (needs_sample(settings.method)) + [domain] * (domain in settings.targets)
            for purpose in purposes:
                row = (draw(id, settings.seed, purpose), id, len(text.encode()))
                candidates.setdefault(purpose, []).append(row)
    rows = [
        {"purpose": purpose, "draw": drawn, "id": id, "bytes": size}
        for purpose, found in sorted(candidates.items())
        for drawn, id, size in within(found, _cap(settings, purpose))
    ]
    yield work, pa.RecordBatch.from_pylist(rows, schema=CANDIDATES), sorted(domains)


def fit_samples(samples: Iterator[Sample], plan: Plan[ScoreSettings]) -> Iterator[Any]:
    """Read the samples, fit the method and write `proxies/<name>/`."""
    settings = plan.settings
    reports = sorted(samples, key=lambda report: report[0].name)
    texts = _sampled(reports, plan)
    domains = sorted({domain for report in reports for domain in report[2]})
    targets = {}
    for target in settings.targets:
        if is_file(target):
            targets[_target_name(target)] = read_target(target, settings.seed, settings.target_bytes)
        elif target in domains:
            targets[_target_name(target)] = texts[target]
        else:
            raise unknown_name("domain", target, domains, "--target")
    given = Samples(texts.get(RANDOM, []), targets)
    with threads(1), Note(plan.workspace, plan.stage) as tell:
        artefacts = fit(settings, given, _tokenizer(plan.workspace, settings), tell)
    for name, data in sorted(artefacts.items()):
        yield plan.put(f"proxies/{settings.table}", name, data, artefacts=1)
    yield {"random": len(given.random), "targets": {name: len(own) for name, own in sorted(targets.items())}}


def _sampled(reports: list[Sample], plan: Plan[ScoreSettings]) -> dict[str, list[str]]:
    """purpose -> texts in the order of their draws."""
    rows: dict[str, list[tuple[int, str, int]]] = {}
    for _, batch, _ in reports:
        for row in batch.to_pylist():
            rows.setdefault(row["purpose"], []).append((row["draw"], row["id"], row["bytes"]))
    chosen = {purpose: [id for _, id, _ in within(r, _cap(plan.settings, purpose))] for purpose, r in rows.items()}
    wanted = {id for ids in chosen.values() for id in ids}
    texts: dict[str, str] = {}
    for work, batch, _ in reports:
        own = wanted.intersection(batch["id"].to_pylist())
        if own:
            chosen_here = pa.array(sorted(own), pa.string())
            for documents in work.documents.read(["id", "text"]):
                part = documents.filter(pc.is_in(documents["id"], value_set=chosen_here))
                texts.update(zip(part["id"].to_pylist(), part["text"].to_pylist(), strict=True))
    return {purpose: [texts[id] for id in ids] for purpose, ids in chosen.items()}


def _cap(settings: ScoreSettings, purpose: str) -> int:
    return settings.sample_bytes if purpose == RANDOM else settings.target_bytes


def _target_name(target: str) -> str:
    """A target's name as part of a column: its last path component without suffix, letters, digits and _ only."""
    name = stem(target) if is_file(target) else target
    return "".join(c if c.isalnum() else "_" for c in name)


def _tokenizer(workspace: Workspace, settings: ScoreSettings) -> str | None:
    """Text of the tokenizer that was named, or else of the workspace's own, where it has one."""
    path = settings.tokenizer
    if path is None:
        if workspace.table("tokenizer").manifest() is None:
            return None
        path = workspace.table("tokenizer").shard_url("tokenizer.json")
    return read_file(path).decode()


# ---- scoring


def score_stage(settings: ScoreSettings) -> Stage[ScoreSettings]:
    return Stage(
        name=f"scores/{settings.table}",
        command=f"score {settings.method}",
        version=1,
        tables=(f"scores/{settings.table}",),
        inputs=score_inputs,
        graph=lambda pipeline, plan: commit(infer_shards(pipeline, plan, ShardScoring(plan.bare)), plan),
        items=lambda plan: (Work.of(source) for source in _sources(plan.workspace).values()),
        details=lambda plan, shards, findings: apart(settings.method),
        models=True,
        by_document=True,
        keep=KeepById(_counted),
    )


def apart(method: str) -> dict[str, Any]:
    """What the table tells of how far its values on two kinds of processors are apart, where that was measured."""
    return {"between_processors": BETWEEN_PROCESSORS[method]} if method in BETWEEN_PROCESSORS else {}


def _counted(rows: pa.Table, entered: int) -> dict[str, int]:
    counts = {"documents": len(rows), "unscored": rows["score"].null_count, "tokens": 0}
    if "n_tokens" in rows.schema.names:
        counts["tokens"] = pc.sum(rows["n_tokens"]).as_py() or 0
    return counts


def score_inputs(workspace: Workspace, settings: ScoreSettings) -> dict[str, str]:
    proxies = workspace.table(f"proxies/{settings.table}").finished("score")
    return {proxies.table: proxies.fingerprint}


class ShardScoring(ModelHandler[Work, PredictionResult, Scorer]):
    """Beam loads and shares the models; an example is a work item, a prediction the reports of its scores."""

    def __init__(self, plan: Plan[ScoreSettings]) -> None:
        super().__init__(max_batch_size=1)  # of shards; documents are batched by tokens, within a shard
        self.plan = plan

    def load_model(self) -> Scorer:
        table = self.plan.workspace.table(f"proxies/{self.plan.settings.table}")
        shards = table.finished("score").shards
        artefacts = {shard.name: read_file(table.file_url(shard)) for shard in shards}
        return open_scorer(self.plan.settings.method, artefacts)

    def run_inference(
        self, batch: Sequence[Work], model: Scorer, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        for work in batch:
            with threads(1):  # more cores: more workers
                yield PredictionResult(
                    work.name, done_or(self.plan, work, functools.partial(score_shard, scorer=model))
                )


def score_shard(plan: Plan[ScoreSettings], work: Work, scorer: Scorer) -> Iterator[Report]:
    """Write the scores of one shard of documents."""
    table = f"scores/{plan.settings.table}"
    with plan.writer(table, work.name, scorer.schema) as out:
        counts: Counter[str] = Counter()
        for documents in work.documents.read(["id", "text"]):
            for rows in scorer.score(documents["id"].to_pylist(), documents["text"].to_pylist()):
                out.write_batch(rows)
                counts.update(_counted(pa.Table.from_batches([rows]), rows.num_rows))
        out.counts |= {"documents": 0, "unscored": 0, "tokens": 0} | counts
    yield table, out.shard


def _sources(workspace: Workspace) -> Mapping[str, fate.ShardSource]:
    return fate.sources(workspace, "score", chain_before(SELECT))
