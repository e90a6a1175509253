"""Tokenize: surviving documents in, a tokenizer and Arrow token shards per domain out.

Two stages in one command. `tokenizer/` first: every shard reports which of its documents belong to a sample drawn by
id hash (ids and byte counts cross the shuffle, text does not), and one worker reads the sample and trains the BPE; a
`tokenizer.json` that the user gives is taken as it is. Then `tokens/<domain>/`: a shard of documents in, one shard per
domain and split out. Refuses a corpus without surviving documents.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.commits import total
from ....corpus.store.errors import WorkspaceError
from ....corpus.store.shards import Shard
from ....corpus.store.workspace import Workspace
from ....training.data.round_trip import check_round_trip, measure_of
from ....training.data.shards import SPLITS, TokenFacts, TokenRows, table_name, write_tokens
from ....training.data.tokenizer import encode, encode_prefixes, load_tokenizer, token_facts, train_tokenizer
from ....training.data.tokenizer_places import tokenizer_text
from ...engine.graph import Report, Work, commit, gather, map_blocks, map_shards
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .held_out import FILE as GROUPS_FILE
from .held_out import GROUPS, GROUPS_STAGE, drawn
from .kept_rows import keep_tokens
from .settings import TokenizeSettings as TokenizeSettings

if TYPE_CHECKING:
    import apache_beam as beam
    from tokenizers import Tokenizer

TRIED = 200_000  # bytes of each domain that a given tokenizer is tried on
TOKENIZER, FILE = "tokenizer", "tokenizer.json"
PREFIXES = {  # `domain` is what `gristmill tag --domain topic` made of it
    "host": "URL: {host}\n\n",
    "url": "URL: {url}\n\n",
    "source": "Source: {source}\n\n",
    "domain": "Topic: {domain}\n\n",
}
SAMPLED = pa.schema([("domain", pa.string()), ("draw", pa.uint64()), ("id", pa.string()), ("bytes", pa.int64())])


def tokenize(
    workspace: Workspace, settings: TokenizeSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring `tokenizer/` and `tokens/` up to date. The summary of both, in one."""
    first = run_stage(TOKENIZER_STAGE, workspace, settings, options, force, quiet)
    groups = run_stage(GROUPS_STAGE, workspace, settings, options, force or not first["skipped"], quiet)
    anew = force or not (first["skipped"] and groups["skipped"])
    second = run_stage(TOKENS_STAGE, workspace, settings, options, anew, quiet)
    return second | {"skipped": first["skipped"] and second["skipped"], "tables": first["tables"] | second["tables"]}


# ---- the tokenizer


def tokenizer_recorded(settings: TokenizeSettings) -> dict[str, Any]:
    if settings.tokenizer is None:
        return settings.model_dump(include={"vocab_size", "sample_bytes"})
    return {"sha256": hashlib.sha256(tokenizer_text(settings.tokenizer).encode()).hexdigest()} | settings.model_dump(
        include={"bos", "eos"}
    )


Sample = tuple[Work, pa.RecordBatch, dict[str, list[int]]]


def tokenizer_graph(pipeline: "beam.Pipeline", plan: Plan[TokenizeSettings]) -> "beam.PCollection":
    """Shards -> the sample each would give -> one group -> the tokenizer."""
    return commit(gather(map_blocks(pipeline, plan, sample_shard), "train", make_tokenizer, plan.bare), plan)


def sample_shard(work: Work, plan: Plan[TokenizeSettings]) -> Iterator[Sample]:
    """(item, candidates, {domain: [documents, bytes]}): the documents that any sample of the corpus could take."""
    candidates: dict[str, list[tuple[int, str, int]]] = {}
    totals: dict[str, list[int]] = {}
    for batch in work.documents.read(["id", "domain", "text"]):
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
    yield work, pa.RecordBatch.from_pylist(rows, schema=SAMPLED), totals


def make_tokenizer(samples: Iterator[Sample], plan: Plan[TokenizeSettings]) -> Iterator[Any]:
    """Choose the sample, train (or take the given file), and write `tokenizer/`."""
    reports = sorted(samples, key=lambda report: report[0].name)
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
        text = tokenizer_text(settings.tokenizer)
        firsts = _first_texts(reports)
        check_round_trip(text, load_tokenizer(text, settings.tokenizer), firsts, settings.tokenizer)
    facts = token_facts(text, settings.bos, settings.eos, settings.tokenizer or FILE)
    yield plan.put(TOKENIZER, FILE, text.encode(), facts.vocab_size, vocabulary=facts.vocab_size)
    yield {"domains": dict(sorted(domains.items())), **_told(facts)}


def _sampled_texts(reports: list[Sample], plan: Plan[TokenizeSettings]) -> Iterator[str]:
    """Texts of the documents with the smallest draws of each domain, up to the cap."""
    rows: dict[str, list[tuple[int, str, int]]] = {}
    for _, batch, _ in reports:
        for row in batch.to_pylist():
            rows.setdefault(row["domain"], []).append((row["draw"], row["id"], row["bytes"]))
    chosen = {id for found in rows.values() for _, id, _ in _until(sorted(found), plan.settings.sample_bytes)}
    for work, batch, _ in reports:
        if not chosen.isdisjoint(batch.column("id").to_pylist()):
            for documents in work.documents.read(["id", "text"]):
                for id, text in zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True):
                    if id in chosen:
                        yield text


def _first_texts(reports: list[Sample]) -> dict[str, list[str]]:
    """Texts of each domain's documents with the smallest draws, up to `TRIED` of their bytes."""
    rows: dict[str, list[tuple[int, str, int]]] = {}
    for _, batch, _ in reports:
        for row in batch.to_pylist():
            rows.setdefault(row["domain"], []).append((row["draw"], row["id"], row["bytes"]))
    chosen = {id: domain for domain, found in rows.items() for _, id, _ in _until(sorted(found), TRIED)}
    texts: dict[str, list[str]] = {}
    for work, batch, _ in reports:
        if not chosen.keys().isdisjoint(batch.column("id").to_pylist()):
            for documents in work.documents.read(["id", "text"]):
                for id, text in zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True):
                    if id in chosen:
                        texts.setdefault(chosen[id], []).append(text)
    return texts


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


def _told(facts: TokenFacts) -> dict[str, Any]:
    return {"tokenizer": facts.tokenizer, "vocab_size": facts.vocab_size, "bos": facts.bos, "eos": facts.eos}


def tokenizer_inputs(workspace: Workspace, settings: TokenizeSettings) -> dict[str, str]:
    return fate.inputs(workspace, "tokenize")


TOKENIZER_STAGE = Stage(
    name=TOKENIZER,
    command="tokenize",
    version=1,
    tables=(TOKENIZER,),
    inputs=tokenizer_inputs,
    graph=tokenizer_graph,
    items=lambda plan: (Work.of(source) for source in fate.sources(plan.workspace, "tokenize").values()),
    whole=True,
    details=lambda plan, shards, findings: findings[0],
    fitted=True,
    recorded=tokenizer_recorded,
)


# ---- the token shards


def tokens_recorded(settings: TokenizeSettings) -> dict[str, Any]:
    return settings.model_dump(include={"heldout", "metadata"})


def tokens_inputs(workspace: Workspace, settings: TokenizeSettings) -> dict[str, str]:
    return {name: workspace.table(name).finished("tokenize").fingerprint for name in (TOKENIZER, GROUPS)}


def tokens_items(plan: Plan[TokenizeSettings]) -> Iterable[Work]:
    """Every shard of documents, with the tokenizer's file and facts."""
    table = plan.workspace.table(TOKENIZER)
    told = table.finished("tokenize").details
    facts = TokenFacts(told["tokenizer"], told["vocab_size"], told["bos"], told["eos"])
    groups = plan.workspace.table(GROUPS).shard_url(GROUPS_FILE)
    load = (table.shard_url(FILE), facts, groups, sum(found["documents"] for found in told["domains"].values()))
    return (Work.of(source, load) for source in fate.sources(plan.workspace, "tokenize").values())


def tokens_details(
    plan: Plan[TokenizeSettings], shards: Mapping[str, Sequence[Shard]], _: list[dict[str, Any]]
) -> dict[str, Any]:
    """Of each domain: the tokenizer, and documents, tokens and bytes by split."""
    told = dict(plan.workspace.table(TOKENIZER).finished("tokenize").details)
    told.pop("domains")
    found = {}
    for table, own in shards.items():
        counts = total(own)
        units = ("documents", "tokens", "bytes")
        found[table] = told | {split: {unit: counts.get(f"{split}_{unit}", 0) for unit in units} for split in SPLITS}
    return found


TOKENS_STAGE: Stage[TokenizeSettings] = Stage(
    name="tokenize",
    version=4,  # merges are never left out at random; more tokenizers are seen to lose text
    tables=(),  # one a domain
    inputs=tokens_inputs,
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, tokenize_shard), plan),
    items=tokens_items,
    details=tokens_details,
    recorded=tokens_recorded,
    by_document=True,
    beside_rows=(GROUPS,),
    keep=keep_tokens,
)


def tokenize_shard(plan: Plan[TokenizeSettings], work: Work) -> Iterator[Report]:
    """One shard of documents -> its train and held-out token shards, one pair for each domain it holds."""
    stem = work.name.removesuffix(".parquet")
    rows = encoded_rows(plan, work)
    for domain in sorted({domain for domain, _ in rows}):
        for split in SPLITS:
            part = rows.get((domain, split), TokenRows())
            with plan.file(table_name(domain), f"{split}-{stem}.arrow") as out:
                out.rows = write_tokens(out.path, part, work.load[1])
                out.counts = {f"{split}_{name}": value for name, value in part.totals().items()}
            yield table_name(domain), out.shard


@lru_cache(maxsize=1)
def _loaded(url: str) -> tuple["Tokenizer", Callable[[Sequence[str], Sequence[np.ndarray]], list[int]]]:
    """The tokenizer of a file, and what measures the bytes that it loses; a URL stands for its bytes, as of every file
    of a table."""
    text = tokenizer_text(url)
    tokenizer = load_tokenizer(text)
    return tokenizer, measure_of(text, tokenizer)


def encoded_rows(plan: Plan[TokenizeSettings], work: Work) -> dict[tuple[str, str], TokenRows]:
    """(domain, split) -> what the token shards of one shard of documents hold."""
    url, facts, groups, count = work.load
    tokenizer, lost = _loaded(url)
    held = drawn(groups, plan.settings.heldout, count)
    rows: dict[tuple[str, str], TokenRows] = {}
    for batch in work.documents.read(["id", "domain", "text", "url", "host", "source"]):
        documents = batch.to_pylist()
        texts = [document["text"] for document in documents]
        prefixes = [prefix(document, plan.settings.metadata) for document in documents]
        heads = encode_prefixes(tokenizer, prefixes)
        encoded = encode(tokenizer, facts, texts, prefixes)
        end = None if facts.eos is None else -1
        bodies = [own[1 + len(head) : end] for own, head in zip(encoded, heads, strict=True)]
        missing = lost(texts, bodies)
        for document, head, tokens, gone in zip(documents, heads, encoded, missing, strict=True):
            split = SPLITS[held(document["id"])]
            part = rows.setdefault((document["domain"], split), TokenRows())
            part.append(document["id"], tokens, len(document["text"].encode()) - gone, len(head), gone)
    return rows


def prefix(document: dict[str, Any], kind: str) -> str:
    """The metadata line that stands before a document's text; none where the document lacks what it names."""
    if kind == "none" or not document[kind]:
        return ""
    return PREFIXES[kind].format(**{kind: document[kind]})
