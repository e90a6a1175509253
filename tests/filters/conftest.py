"""A small workspace of documents, written without the extract stage."""

import pyarrow as pa
import pytest

from gristmill.corpus.store.made import put_shards
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import open_shard
from gristmill.corpus.store.workspace import Workspace

PROSE = (
    "The history of the valley is that of the river and of the people who have lived beside it with their animals. "
    "In the spring the water rises to the lower fields, and the families move to the upper houses until it falls. "
    "Nobody remembers when the first bridge was built, but the stones of its piers are to be seen at low water. "
)


def write_documents(workspace: Workspace, rows: list[dict], shards: int = 2) -> None:
    """`documents/` of these rows (id, text and what else is given), dealt over shards by position."""
    made = []
    for number in range(shards):
        part = [{"source": "test", "domain": "test"} | row for row in rows[number::shards]]
        with open_shard(workspace.table("documents").url, f"part-{number:05d}.parquet", DOCUMENTS) as out:
            out.write_batch(pa.RecordBatch.from_pylist(part, schema=DOCUMENTS))
            out.counts |= {"in": len(part), "kept": len(part), "dropped": 0, "failed": 0}
        made.append(out.shard)
    put_shards(workspace, "documents", made, stage="extract")


@pytest.fixture
def document_writer():
    """`write_documents`, for tests that need documents of their own."""
    return write_documents


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Six documents: prose, prose that repeats, a list, a short one, an empty one, numbers."""
    texts = {
        "prose": PROSE,
        "repeats": PROSE * 4,
        "list": "\n".join(f"- another entry {n} of the long inventory that people have with them" for n in range(30)),
        "short": "Too short to be of use.",
        "empty": "",
        "numbers": " ".join(str(n * 7919) for n in range(200)),
    }
    rows = [{"id": f"{place:032x}", "text": text, "title": name} for place, (name, text) in enumerate(texts.items())]
    made = Workspace(str(tmp_path / "w"))
    write_documents(made, rows)
    return made
