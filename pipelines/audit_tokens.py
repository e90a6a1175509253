"""Token shards held against the documents that they come from: every document is tokenized again and compared.

Told are documents that are missing, strange, in the wrong domain or split, and tokens, bytes and prefixes that differ.
Costs as much as tokenizing. Looks at nothing where `tokens/` is stale, which is a finding of its own.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from ..corpus.store.commits import Commit
from ..corpus.store.freshness import reasons
from ..corpus.store.shards import filesystem
from ..corpus.store.soundness import opened
from ..corpus.store.workspace import Workspace
from ..training.data.shards import SPLITS, TokenRows, table_name
from .audit_shards import Found

Row = tuple[bytes, int, int, int]  # tokens, how many, bytes of the text, tokens of the prefix


def other_tokens(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Token shards that are not what the documents, as edited and regrouped, give."""
    commit = held.get("tokenize")
    if commit is None or not commit.tables or reasons(workspace, commit):
        return
    from .engine.stage import Plan
    from .stages.tokenize.settings import TokenizeSettings
    from .stages.tokenize.stage import encoded_rows, tokens_items

    recorded = next(iter(commit.tables.values())).settings
    settings = TokenizeSettings.model_validate(recorded)
    plan = Plan(commit.stage, commit.version, workspace, settings, recorded, commit.inputs)
    shards = {(name, shard.name): shard for name, table in commit.tables.items() for shard in table.shards}
    for work in tokens_items(plan):
        stem = work.name.removesuffix(".parquet")
        expected = encoded_rows(plan, work)
        domains = {table_name(domain): domain for domain, _ in expected}
        for name in sorted({*domains, *commit.tables}):
            for split in SPLITS:
                shard = shards.pop((name, f"{split}-{stem}.arrow"), None)
                rows = expected.get((domains.get(name, ""), split), TokenRows())
                there = stored(f"{workspace.url}/{name}/{shard.file}") if shard is not None else {}
                apart = differing(there, rows)
                if apart:
                    yield "tokens", f"{name}/{split}-{stem}.arrow", apart
    for name, file in sorted(shards):
        yield "tokens", f"{name}/{file}", "no documents belong to this shard"


def stored(url: str) -> dict[str, Row]:
    """id -> what a token shard holds of a document; a row that comes twice counts as another."""
    found: dict[str, Row] = {}
    with opened(*filesystem(url)) as file, pa.ipc.open_file(file) as reader:
        for at in range(reader.num_record_batches):
            batch = reader.get_batch(at)
            tokens = batch["tokens"]
            flat, bounds = tokens.values.to_numpy(), tokens.offsets.to_numpy()
            columns = [batch[name].to_pylist() for name in ("id", "n_tokens", "n_bytes", "metadata_tokens")]
            for row, (id, count, size, prefix) in enumerate(zip(*columns, strict=True)):
                own = flat[bounds[row] : bounds[row + 1]].tobytes()
                found[f"{id} twice" if id in found else id] = (own, count, size, prefix)
    return found


def differing(there: Mapping[str, Row], rows: TokenRows) -> str:
    """What is wrong with a shard, "" where nothing is."""
    right: dict[str, Row] = {}
    for id, tokens, size, prefix in zip(rows.ids, rows.tokens, rows.n_bytes, rows.metadata_tokens, strict=True):
        right[id] = (np.ascontiguousarray(tokens).tobytes(), len(tokens), size, prefix)
    lacking, strange = len(right.keys() - there.keys()), len(there.keys() - right.keys())
    other = sum(there[id] != right[id] for id in right.keys() & there.keys())
    told = [
        f"{count} documents {what}"
        for count, what in (
            (lacking, "are missing"),
            (strange, "do not belong here"),
            (other, "have other tokens or bytes than their text gives"),
        )
        if count
    ]
    return "; ".join(told) + "; run: gristmill tokenize --force" if told else ""
