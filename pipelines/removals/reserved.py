"""Documents that sites reserve: robots.txt and the other signals, applied afterwards.

Every document with an address is asked, in parallel with nothing: a site's rules are read once. Refuses nothing; a
document without an address is nobody's to reserve.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from ...corpus.reservations.sites import Sites
from ...corpus.store.catalog import files, open_catalog
from ...corpus.store.workspace import Workspace
from ..evidence.tokens import tokens_by_document

ROWS = 20_000


def reserved(
    workspace: Workspace, sites: Sites, agents: Sequence[str], signals: Sequence[str], then: bool = False
) -> dict[str, str]:
    """id -> the signal that keeps a document out. `then`: the answers of the time of its capture, not the last ones."""
    found: dict[str, str] = {}
    captured = files(workspace, "captures") if then else None
    time = f"(select id, min(captured) as captured from {captured} group by id)" if captured else "documents"
    what = "k.captured" if captured else "null::timestamptz"
    query = (
        f"select d.id, d.url, d.robots, {what} at time zone 'UTC' from documents d "
        + (f"left join {time} k using (id) " if captured else "")
        + "where d.url is not null"
    )
    with open_catalog(workspace, query="select * from documents") as connection:
        rows = connection.execute(query)
        while batch := rows.fetchmany(ROWS):
            for id, url, page, at in batch:
                said = sites.reserved(url, agents, signals, at.replace(tzinfo=UTC) if at else None, page)
                if said:
                    found[id] = said
    return found


def by_language(workspace: Workspace, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of language, documents, tokens (of those that have any), and their shares of each language's documents."""
    tokens: dict[str, int] = {}
    if workspace.is_local:
        for batch in tokens_by_document(workspace):
            tokens.update(zip(batch["id"].to_pylist(), batch["tokens"].to_pylist(), strict=True))
    found: dict[str, list[int]] = {}
    with open_catalog(workspace, query="select * from documents") as connection:
        rows = connection.execute("select id, coalesce(language, 'und') from documents")
        while batch := rows.fetchmany(ROWS):
            for id, language in batch:
                row = found.setdefault(language, [0, 0, 0, 0])
                row[0] += 1
                row[1] += tokens.get(id, 0)
                if id in ids:
                    row[2] += 1
                    row[3] += tokens.get(id, 0)
    return [
        {"language": name, "documents": own[2], "tokens": own[3], "of_documents": own[0], "of_tokens": own[1]}
        for name, own in sorted(found.items())
    ]
