"""Tokenize: surviving documents in, a tokenizer and Arrow token shards per domain out.

Two stages in one command. `tokenizer/` first: every shard reports which of its documents belong to a sample drawn by
id hash (ids and byte counts cross the shuffle, text does not), and one worker reads the sample and trains the BPE; a
`tokenizer.json` that the user gives is taken as it is. Then `tokens/<domain>/`: a shard of documents in, one shard per
domain and split out. Refuses a corpus without surviving documents.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
from pydantic import BaseModel, Field

from ...corpus.store import fate
from ...corpus.store.calls import File
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import Shard, checksum, filesystem, fingerprint, replacing
from ...corpus.store.workspace import Manifest, Workspace
from ...training.data.shards import SPLITS, TokenFacts, TokenRows, committed_tokens, held_out, table_name, write_tokens
from ...training.data.tokenizer import encode, encode_prefixes, load_tokenizer, token_facts, train_tokenizer
from ..engine.runner import RunnerOptions
from ..engine.stage import Plan, Report, Stage, run_stage

TOKENIZER, FILE = "tokenizer", "tokenizer.json"
PREFIXES = {  # `domain` is what `gristmill tag --domain topic` made of it
    "host": "URL: {host}\n\n",
    "url": "URL: {url}\n\n",
    "source": "Source: {source}\n\n",
    "domain": "Topic: {domain}\n\n",
}
SAMPLED = pa.schema([("domain", pa.string()), ("draw", pa.uint64()), ("id", pa.string()), ("bytes", pa.int64())])


class TokenizeSettings(BaseModel, frozen=True, extra="forbid"):
    """How to make the tokenizer and the shards."""

    tokenizer: File | None = None  # path of a tokenizer.json; None: train one on the corpus
    vocab_size: int = Field(default=4096, ge=258)
    sample_bytes: int = Field(default=1_000_000, ge=1)  # text per domain that the tokenizer is trained on
    heldout: float = Field(default=0.05, ge=0.0, lt=1.0)  # share of documents held out, by id hash
    metadata: Literal["none", "host", "url", "source", "domain"] = "none"  # prefix for metadata conditioning
    bos: str | None = None  # tokens that start and end a document, where their names are not the customary ones
    eos: str | None = None


def tokenize(
    workspace: Workspace, settings: TokenizeSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring `tokenizer/` and `tokens/` up to date. The summary of both, in one."""
    first = run_stage(TOKENIZER_STAGE, workspace, settings, options, force, quiet)
    second = run_stage(tokens_stage(workspace), workspace, settings, options, force or not first["skipped"], quiet)
    return second | {"skipped": first["skipped"] and second["skipped"], "tables": first["tables"] | second["tables"]}


# ---- the tokenizer


def tokenizer_recorded(settings: TokenizeSettings) -> dict[str, Any]:
    if settings.tokenizer is None:
        return settings.model_dump(include={"vocab_size", "sample_bytes"})
    return {"sha256": hashlib.sha256(_given(settings.tokenizer).encode()).hexdigest()} | settings.model_dump(
        include={"bos", "eos"}
    )


def tokenizer_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Shards -> the sample each would give -> one group -> the tokenizer and its manifest."""
    return (
        pipeline
        | "shards" >> beam.Create([*_shards(plan.workspace), None])
        | "spread" >> beam.Reshuffle()
        | "sample" >> beam.FlatMap(sample_shard, plan)
        | "one group" >> beam.Map(lambda batch: (0, batch))
        | "gather" >> beam.GroupByKey()
        | "train" >> beam.FlatMap(commit_tokenizer, plan)
    )


def sample_shard(shard: str | None, plan: Plan) -> Iterator[tuple[str, pa.RecordBatch, dict]]:
    """(shard, candidates, {domain: [documents, bytes]}): the documents that any sample of the corpus could take."""
    if shard is None:
        yield "", pa.RecordBatch.from_pylist([], schema=SAMPLED), {}
        return
    candidates: dict[str, list[tuple[int, str, int]]] = {}
    totals: dict[str, list[int]] = {}
    for batch in fate.read_kept(plan.workspace, shard, ["id", "domain", "text"]):
        for id, domain, text in zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True):
            size = len(text.encode())
            total = totals.setdefault(domain, [0, 0])
            total[0], total[1] = total[0] + 1, total[1] + size
            candidates.setdefault(domain, []).append((_draw(id), id, size))
    rows = [
        {"domain": domain, "draw": draw, "id": id, "bytes": size}
        for domain, found in sorted(candidates.items())
        for draw, id, size in _until(sorted(found), plan.settings.sample_bytes)
    ]
    yield shard, pa.RecordBatch.from_pylist(rows, schema=SAMPLED), totals


def commit_tokenizer(group: tuple[int, Iterable[tuple[str, pa.RecordBatch, dict]]], plan: Plan) -> Iterator[str]:
    """Choose the sample, train (or take the given file), and write `tokenizer/`."""
    reports = sorted((report for report in group[1] if report[0]), key=lambda report: report[0])
    domains: dict[str, dict[str, int]] = {}
    for _, _, totals in reports:
        for domain, (documents, size) in totals.items():
            total = domains.setdefault(domain, {"documents": 0, "bytes": 0})
            total["documents"] += documents
            total["bytes"] += size
    if not domains:
        raise WorkspaceError(f"no document of {plan.workspace.url} survives, so there is nothing to tokenize")
    settings = plan.settings
    if settings.tokenizer is None:
        text = train_tokenizer(_sampled_texts(reports, plan), settings.vocab_size)
    else:
        text = _given(settings.tokenizer)
    facts = token_facts(text, settings.bos, settings.eos, settings.tokenizer or FILE)
    url = plan.workspace.table(TOKENIZER).shard_url(FILE)
    with replacing(url) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(text)
    shard = Shard(FILE, facts.vocab_size, len(text.encode()), checksum(url), {"vocabulary": facts.vocab_size})
    details = {"domains": dict(sorted(domains.items())), **_told(facts)}
    yield plan.workspace.table(TOKENIZER).write_manifest(plan.manifest(TOKENIZER, [shard], details))


def _sampled_texts(reports: list[tuple[str, pa.RecordBatch, dict]], plan: Plan) -> Iterator[str]:
    """Texts of the documents with the smallest draws of each domain, up to the cap."""
    rows: dict[str, list[tuple[int, str, int]]] = {}
    for _, batch, _ in reports:
        for row in batch.to_pylist():
            rows.setdefault(row["domain"], []).append((row["draw"], row["id"], row["bytes"]))
    chosen = {id for found in rows.values() for _, id, _ in _until(sorted(found), plan.settings.sample_bytes)}
    for shard, batch, _ in reports:
        if not chosen.isdisjoint(batch.column("id").to_pylist()):
            for documents in fate.read_kept(plan.workspace, shard, ["id", "text"]):
                for id, text in zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True):
                    if id in chosen:
                        yield text


def _until(ordered: Iterable[tuple[int, str, int]], cap: int) -> Iterator[tuple[int, str, int]]:
    """Rows until their bytes reach the cap; the one that crosses it is the last."""
    used = 0
    for row in ordered:
        if used >= cap:
            return
        yield row
        used += row[2]


def _draw(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"tokenizer:{id}".encode(), digest_size=8).digest(), "big")


def _given(path: str) -> str:
    fs, local = filesystem(path)
    if not fs.isfile(local):
        raise RequestError(f"--tokenizer {path} is not a file")
    with fs.open(local, "rb") as file:
        return file.read().decode()


def _shards(workspace: Workspace) -> list[str]:
    return [shard.name for shard in workspace.table(fate.BEFORE).finished("tokenize").shards]


def _told(facts: TokenFacts) -> dict[str, Any]:
    return {"tokenizer": facts.tokenizer, "vocab_size": facts.vocab_size, "bos": facts.bos, "eos": facts.eos}


def tokenizer_inputs(workspace: Workspace, settings: TokenizeSettings) -> dict[str, str]:
    return fate.inputs(workspace, "tokenize")


TOKENIZER_STAGE = Stage(
    name="tokenizer",
    version=1,
    tables=(TOKENIZER,),
    inputs=tokenizer_inputs,
    graph=tokenizer_graph,
    recorded=tokenizer_recorded,
)


# ---- the token shards


def tokens_recorded(settings: TokenizeSettings) -> dict[str, Any]:
    return settings.model_dump(include={"heldout", "metadata"})


def tokens_inputs(workspace: Workspace, settings: TokenizeSettings) -> dict[str, str]:
    found = fate.inputs(workspace, "tokenize")
    return found | {TOKENIZER: workspace.table(TOKENIZER).finished("tokenize").fingerprint}


def tokens_stage(workspace: Workspace) -> Stage[TokenizeSettings]:
    """The stage for the domains that the tokenizer stage counted: one table per domain."""
    domains = workspace.table(TOKENIZER).finished("tokenize").details["domains"]
    return Stage(
        name="tokenize",
        version=1,
        tables=tuple(table_name(domain) for domain in domains),
        inputs=tokens_inputs,
        graph=tokens_graph,
        recorded=tokens_recorded,
    )


def tokens_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Shards -> reports of token shards -> one group -> a manifest per domain."""
    return (
        pipeline
        | "shards" >> beam.Create([*_shards(plan.workspace), None])
        | "spread" >> beam.Reshuffle()
        | "tokenize" >> beam.FlatMap(tokenize_shard, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit_tokens, plan)
    )


def tokenize_shard(shard: str | None, plan: Plan) -> Iterator[Report]:
    """One shard of documents -> its train and held-out token shards, one pair for each domain it holds."""
    if shard is None:
        yield "", None
        return
    workspace, stem = plan.workspace, shard.removesuffix(".parquet")
    source = workspace.table(fate.BEFORE).finished("tokenize")
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, _checksum(source, shard))
    held: set[str] = set()
    for batch in fate.read_kept(workspace, shard, ["id", "domain"]):
        held.update(batch["domain"].unique().to_pylist())
    names = [(table_name(domain), f"{split}-{stem}.arrow") for domain in sorted(held) for split in SPLITS]
    present = [(table, committed_tokens(workspace.table(table).shard_url(name), stamp)) for table, name in names]
    if all(found is not None for _, found in present):
        yield from present
        return
    facts, rows = _encoded(plan, shard)
    for domain in sorted(held):
        table = table_name(domain)
        for split in SPLITS:
            part = rows.get((domain, split), TokenRows())
            counts = {f"{split}_{name}": value for name, value in part.totals().items()}
            url = workspace.table(table).shard_url(f"{split}-{stem}.arrow")
            yield table, write_tokens(url, part, facts, stamp, counts)


def _encoded(plan: Plan, shard: str) -> tuple[TokenFacts, dict[tuple[str, str], TokenRows]]:
    manifest = _manifest(plan)
    told = manifest.details
    facts = TokenFacts(told["tokenizer"], told["vocab_size"], told["bos"], told["eos"])
    tokenizer = load_tokenizer(_given(plan.workspace.table(TOKENIZER).shard_url(FILE)))
    rows: dict[tuple[str, str], TokenRows] = {}
    for batch in fate.read_kept(plan.workspace, shard, ["id", "domain", "text", "url", "host", "source"]):
        documents = batch.to_pylist()
        texts = [document["text"] for document in documents]
        prefixes = [prefix(document, plan.settings.metadata) for document in documents]
        heads = encode_prefixes(tokenizer, prefixes)
        for document, head, tokens in zip(documents, heads, encode(tokenizer, facts, texts, prefixes), strict=True):
            split = SPLITS[held_out(document["id"], plan.settings.heldout)]
            part = rows.setdefault((document["domain"], split), TokenRows())
            part.append(document["id"], tokens, len(document["text"].encode()), len(head))
    return facts, rows


def prefix(document: dict[str, Any], kind: str) -> str:
    """The metadata line that stands before a document's text; none where the document lacks what it names."""
    if kind == "none" or not document[kind]:
        return ""
    return PREFIXES[kind].format(**{kind: document[kind]})


def commit_tokens(group: tuple[int, Iterable[Report]], plan: Plan) -> Iterator[str]:
    """Manifests of every domain, the first domain's last, and no trace of domains that are gone."""
    workspace = plan.workspace
    told = dict(_manifest(plan).details)
    shards: dict[str, list[Shard]] = {table_name(domain): [] for domain in told.pop("domains")}
    for table, shard in group[1]:
        if shard is not None:
            shards[table].append(shard)
    fs, path = filesystem(workspace.path("tokens"))
    for entry in fs.ls(path, detail=False):
        name = "tokens/" + entry.rstrip("/").rsplit("/", 1)[-1]
        if name not in shards:
            fs.rm(entry, recursive=True)
    for table in reversed(list(shards)):
        manifest = plan.manifest(table, shards[table])
        splits = {
            split: {unit: manifest.counts.get(f"{split}_{unit}", 0) for unit in ("documents", "tokens", "bytes")}
            for split in SPLITS
        }
        yield workspace.table(table).write_manifest(manifest.model_copy(update={"details": told | splits}))


def _manifest(plan: Plan) -> Manifest:
    return plan.workspace.table(TOKENIZER).finished("tokenize")


def _checksum(manifest: Manifest, shard: str) -> str:
    return next(found.checksum for found in manifest.shards if found.name == shard)
