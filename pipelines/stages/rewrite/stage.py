"""The rewrite stage (WRAP): surviving documents in, synthetic documents in named styles out.

Writes `synthetic/` (the new documents, with `parent`, `style` and `model`), `lineage/` (the ids they have once they
are extracted, so that a document of documents/ can be followed to its parent) and `rewrites/`: for every document and
style exactly one row, rewritten or fallen back and why. Originals are never touched. `adopt` hands the synthetic
documents to the extract stage as further input, one source and domain `<domain>.<style>` each; from then on they are
documents like any other, and this stage leaves them out of its own input.
Refuses engines that are not named, and to rewrite what was rewritten with other settings unless forced.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from ....corpus.planning.growth import in_force, without
from ....corpus.planning.identity import document_id, file_fingerprint
from ....corpus.planning.ledger import read_ledger, write_ledger
from ....corpus.readers.inputs import Input
from ....corpus.store import fate
from ....corpus.store.calls import Call, asked_again
from ....corpus.store.commits import Manifest, without_items
from ....corpus.store.errors import WorkspaceError
from ....corpus.store.schema import DOCUMENTS
from ....corpus.store.shards import Shard, fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ....proxy_models.engines.cache import RequestCache, cache_path
from ....proxy_models.engines.engine import Spending, answer, cost
from ....proxy_models.engines.open import engine_settings, open_engine
from ....proxy_models.rewriting.rephrase import Rewriting, assemble, load_styles, rephrase_requests, style_record
from ....proxy_models.rewriting.rephrase_chunks import token_counter
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..extract.stage import ExtractSettings, run_extract
from .settings import RewriteSettings as RewriteSettings

STAGE = "rewrite"
TABLES = ("rewrites", "lineage", "synthetic")
SOURCE = "rewritten."  # the source of adopted documents is this and the style
SHARD = "rewritten-"  # and so begin the names of their shards
SYNTHETIC = pa.schema(
    [
        *DOCUMENTS,
        pa.field("parent", pa.string(), nullable=False),  # id of the document it was made from
        pa.field("style", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
    ]
)
LINEAGE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # in documents/, once adopted
        pa.field("synthetic", pa.string(), nullable=False),  # id in synthetic/
        pa.field("parent", pa.string(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
    ]
)
REWRITES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("rewritten", pa.bool_(), nullable=False),
        ("synthetic", pa.string()),  # id of the new document
        ("reason", pa.string()),  # why it fell back
        pa.field("chunks", pa.int64(), nullable=False),
        pa.field("faults", pa.list_(pa.string()), nullable=False),  # of the chunks that fell back
    ]
)
Rows = list[dict[str, Any]]


def rewrite_recorded(settings: RewriteSettings) -> dict[str, Any]:
    told = settings.model_dump(
        mode="json", include={"domains", "share", "chunk_tokens", "most_fallen", "tokenizer", "seed"}
    )
    styles = style_record(load_styles(settings.styles, settings.styles_file))
    return {**told, "styles": styles, "engine": engine_settings(settings.engine).recorded()}


def rewrite_items(plan: Plan[RewriteSettings]) -> Iterable[Work]:
    """Shards of documents/ that were not adopted from this stage, so adopting makes nothing stale."""
    sources = fate.sources(plan.workspace, STAGE, regroup=_regroups(plan.workspace))
    return (Work.of(source) for name, source in sources.items() if not name.startswith(SHARD))


def _regroups(workspace: Workspace) -> bool:
    """Whether documents are rewritten by the units that they were regrouped into. What was rewritten before there were
    any keeps the units of the documents, or a later run would rename those of all rewritten documents."""
    held = workspace.commit_of(STAGE)
    return held is None or any(
        place.startswith(f"{fate.DOMAINS}/") for made in held.work.values() for place in made.made_from
    )


REWRITE: Stage[RewriteSettings] = Stage(
    name=STAGE,
    version=2,  # thoughts are known by more marks
    tables=TABLES,
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, rewrite_shard), plan),
    items=rewrite_items,
    recorded=rewrite_recorded,
)


def rewrite_shard(plan: Plan[RewriteSettings], work: Work) -> Iterator[Report]:
    """One shard of documents -> its rewritings."""
    documents = list(_chosen(plan, work))
    rewritings, spending, model = _rewritten(plan, documents)
    rows = [_synthetic(document, style, r, model) for document, style, r in rewritings if r.text is not None]
    for domain in sorted({row["domain"] for row in rows}):
        yield from _write_domain(plan, work.name, domain, [row for row in rows if row["domain"] == domain])
    with plan.writer("rewrites", work.name, REWRITES) as out:
        out.write_rows(_told(document, style, rewriting, model) for document, style, rewriting in rewritings)
        out.counts = _counts(rewritings, spending)
    yield "rewrites", out.shard


def _chosen(plan: Plan[RewriteSettings], work: Work) -> Iterator[dict[str, Any]]:
    settings = plan.settings
    for batch in work.documents.read():
        for row in batch.to_pylist():
            if (not settings.domains or row["domain"] in settings.domains) and drawn(row["id"], settings.share):
                yield row


def drawn(id: str, share: float) -> bool:
    """Whether a document belongs to a share of all, by a hash of its id."""
    return int(fingerprint("rewrite", id)[:13], 16) < share * (1 << 52)


def _rewritten(plan: Plan, documents: Rows) -> tuple[list[tuple[dict[str, Any], str, Rewriting]], Spending, str]:
    """(document, style, what became of it) for every document and style, what it cost, and the model's name."""
    settings = plan.settings
    engine = open_engine(engine_settings(settings.engine))
    styles = load_styles(settings.styles, settings.styles_file)
    count = token_counter(settings.tokenizer)
    asked = [
        (document, name, rephrase_requests(document["text"], style, count, settings.chunk_tokens, settings.seed))
        for document in documents
        for name, style in styles.items()
    ]
    with RequestCache(cache_path(plan.workspace, settings.request_cache)) as cache:
        replies, spending = answer(engine, [request for *_, requests in asked for request in requests], cache)
    made, at = [], 0
    for document, name, requests in asked:
        part = replies[at : at + len(requests)]
        at += len(requests)
        made.append((document, name, assemble(requests, part, styles[name], settings.most_fallen)))
    return made, spending, str(settings.engine.get("model") or engine.model)


def _synthetic(document: dict[str, Any], style: str, rewriting: Rewriting, model: str) -> dict[str, Any]:
    return {
        **document,
        "id": synthetic_id(document["id"], style, model),
        "text": rewriting.text,
        "source": SOURCE + style,
        "domain": f"{document['domain']}.{style}",
        "parent": document["id"],
        "style": style,
        "model": model,
    }


def synthetic_id(parent: str, style: str, model: str) -> str:
    return fingerprint("synthetic", parent, style, model)


def _write_domain(plan: Plan[RewriteSettings], shard: str, domain: str, rows: Rows) -> Iterator[Report]:
    """The synthetic documents of one domain as one shard, and their lineage: an adopted id follows from the file."""
    name = f"{shard.removesuffix('.parquet')}.{domain}.parquet"
    with plan.writer("synthetic", name, SYNTHETIC) as made:
        made.write_rows(rows)
        made.counts = {"rows": len(rows)}
    yield "synthetic", made.shard
    file, _ = file_fingerprint(plan.workspace.table("synthetic").file_url(made.shard))
    with plan.writer("lineage", name, LINEAGE) as out:
        out.write_rows(
            {
                "id": document_id(file, at),
                "synthetic": row["id"],
                **{key: row[key] for key in ("parent", "style", "model")},
            }
            for at, row in enumerate(rows)
        )
        out.counts = {"rows": len(rows)}
    yield "lineage", out.shard


def _told(document: dict[str, Any], style: str, rewriting: Rewriting, model: str) -> dict[str, Any]:
    made = rewriting.text is not None
    return {
        "id": document["id"],
        "style": style,
        "rewritten": made,
        "synthetic": synthetic_id(document["id"], style, model) if made else None,
        "reason": rewriting.reason,
        "chunks": rewriting.chunks,
        "faults": list(rewriting.faults),
    }


def _counts(rewritings: list[tuple[dict[str, Any], str, Rewriting]], spending: Spending) -> dict[str, int]:
    """`in` counts (document, style) pairs; `failed` are those that fell back."""
    rewritten = sum(rewriting.text is not None for *_, rewriting in rewritings)
    return {
        "in": len(rewritings),
        "kept": rewritten,
        "dropped": 0,
        "failed": len(rewritings) - rewritten,
        "chunks": sum(rewriting.chunks for *_, rewriting in rewritings),
        "fallen_chunks": sum(len(rewriting.faults) for *_, rewriting in rewritings),
        **spending.counts(),
    }


def run_rewrite(
    workspace: Workspace,
    settings: RewriteSettings,
    options: RunnerOptions,
    force: bool = False,
    quiet: bool = False,
    retry: bool = False,
) -> dict[str, Any]:
    """Bring the tables up to date; the summary's details tell what the replies cost at the settings' prices.

    `retry` does those shards again in which a request failed; replies that were had are remembered.
    """
    if retry:
        _forget_failed(workspace)
    summary = run_stage(REWRITE, workspace, settings, options, force, quiet)
    price = cost(summary["tables"]["rewrites"], settings.prompt_price, settings.completion_price)
    return summary | {"details": summary["details"] | {"cost": round(price, 6)}}


def _forget_failed(workspace: Workspace) -> None:
    """Take the work on those shards back in which a request failed; the rest of the result stays in force."""
    failed = {
        shard.item
        for shard in workspace.table("rewrites").finished("retrying failed requests").shards
        if shard.counts.get("failed_requests")
    }
    held = workspace.commit_of(STAGE)
    if held is not None and failed:
        workspace.put_commit(without_items(held, failed))


def adopt(
    workspace: Workspace, options: RunnerOptions, language_model: str | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Extract `synthetic/` into `documents/`, with the settings that made documents/; nothing is read twice.

    Documents that were adopted from files that are no longer there, or are others now, leave `documents/`.
    `language_model` names the fastText model that identified their language, where it lies elsewhere now.
    """
    manifest = workspace.table("synthetic").finished("adopting rewritten documents")
    if not manifest.shards and not adopted(workspace):
        raise WorkspaceError(f"synthetic/ in {workspace.url} holds no document: every rewriting fell back")
    inputs = [_input(workspace, manifest, shard) for shard in manifest.shards]
    _forget_replaced(workspace, [path for given in inputs for path in given.paths])
    call = workspace.table(fate.BEFORE).finished("adopting rewritten documents").call
    if call is not None and language_model is not None:
        call = Call(settings={**call.settings, "language_model": language_model})
    made_with = asked_again(call, ExtractSettings, workspace.url)
    return run_extract(workspace, made_with.model_copy(update={"inputs": tuple(inputs)}), options, quiet=quiet)


def adopted(workspace: Workspace) -> bool:
    """Whether documents/ holds rewritten documents of this workspace."""
    folder = workspace.table("synthetic").url + "/"
    return any(file.place.startswith(folder) for file in read_ledger(workspace).files)


def _forget_replaced(workspace: Workspace, paths: list[str]) -> None:
    """Take earlier rewritings out of the ledger: files of `synthetic/` that are not among these as they are now."""
    now = {(path, file_fingerprint(path)[0]) for path in paths}
    folder = workspace.table("synthetic").url + "/"
    ledger = read_ledger(workspace)
    gone = {f for f in ledger.files if f.place.startswith(folder) and (f.place, f.seen) not in now}
    if gone:
        left, _ = without(ledger, gone, in_force(workspace))
        write_ledger(workspace, left)


def _input(workspace: Workspace, manifest: Manifest, shard: Shard) -> Input:
    url = workspace.table(manifest.table).file_url(shard)
    row = next(read_batches(url, ["source", "domain"], rows=1)).to_pylist()[0]
    return Input(paths=(url,), source=row["source"], domain=row["domain"], format="parquet")
