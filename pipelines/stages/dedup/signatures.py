"""The signatures of a workspace: `signatures/` and `shingles/`, shard for shard beside `documents/`.

What deduplication needs of a document, once: its exact keys, its MinHash signature, its sorted shingle hashes, and
what decides between survivors. A new crawl adds shards and leaves the others as they are; `--against` reads these
tables in place of text. `shingles/` are Arrow IPC files, so that verification can pick documents out of them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.fate import sources
from ....dedup.keys import columns_needed, crawls, exact_keys, ranks
from ....dedup.minhash import signatures
from ....dedup.settings import DedupSettings
from ....dedup.shingles import shingle
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.stage import Plan, Stage
from .kept_rows import keep_signed
from .sets import SetWriter as SetWriter
from .sets import shingles_name as shingles_name
from .sets import signature_schema

STAGE = "dedup"
TABLES = ("signatures", "shingles")


def items(plan: Plan[DedupSettings]) -> Iterable[Work]:
    """Every shard of documents/, as the stages before deduplication left it."""
    return (Work.of(source) for source in sources(plan.workspace, STAGE, chain_before(STAGE)).values())


def sign(plan: Plan[DedupSettings], work: Work) -> Iterator[Report]:
    """Sign the surviving documents of one shard."""
    schema = signature_schema(len(plan.settings.exact), plan.recorded["num_perm"])
    columns = columns_needed(plan.settings.exact)
    counts = {"documents": 0, "shingles": 0, "blank": 0}
    writer = plan.writer("signatures", work.name, schema, ["source", "domain", "crawl"])
    with writer as out, plan.file("shingles", shingles_name(work.name)) as beside:
        with SetWriter(beside.path) as sets:
            for batch in work.documents.read(columns):
                signed, offsets, hashes = sign_batch(batch, plan.settings.exact, plan.recorded, schema)
                out.write_batch(signed)
                sets.write(ranks(batch["id"]), offsets, hashes)
                counts["documents"] += batch.num_rows
                counts["shingles"] += len(hashes)
                counts["blank"] += int((np.diff(offsets) == 0).sum())
        out.counts.update(counts)
        beside.rows = counts["documents"]
    yield "signatures", out.shard
    yield "shingles", beside.shard


def sign_batch(
    batch: pa.RecordBatch, exact: tuple[str, ...], recorded: dict[str, Any], schema: pa.Schema
) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
    """A batch of documents -> a batch of signatures/, and its shingle sets as (offsets (D+1,), hashes (H,))."""
    sets = shingle(batch["text"], recorded["unit"], recorded["size"], recorded["fold"])
    rows = signatures(sets.hashes, sets.offsets, recorded["num_perm"], recorded["seed"])
    columns = {
        "id": batch["id"],
        "date": batch["date"],
        "length": pc.binary_length(batch["text"]).cast(pa.int64()),
        "source": batch["source"],
        "domain": batch["domain"],
        "crawl": crawls(batch),
        "shingles": pa.array(np.diff(sets.offsets)),
        "signature": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), recorded["num_perm"]),
    }
    for n, expression in enumerate(exact):
        columns[f"key_{n}"] = exact_keys(batch, expression, sets.content)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema), sets.offsets, sets.hashes


SIGN: Stage[DedupSettings] = Stage(
    name="signatures",
    command=STAGE,
    version=2,
    tables=TABLES,
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, sign), plan),
    items=items,
    recorded=DedupSettings.signing,
    by_document=True,
    keep=keep_signed,
)
