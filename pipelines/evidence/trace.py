"""The way of one document: from the byte of its input to the rows of the steps that read it.

Each line is what a table or the loader's arithmetic says; nothing is inferred. Refuses an id that no table holds. A
document that was removed has no way any more: its entry in the log of removals is told instead.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.compute as pc

from ...corpus.columns.carried import FOLDER
from ...corpus.planning.ledger import read_ledger
from ...corpus.sql import literal
from ...corpus.store.catalog import files, open_catalog
from ...corpus.store.errors import RequestError
from ...corpus.store.fate import DOMAINS, deciding
from ...corpus.store.workspace import Workspace
from ...training.data.shards import SPLITS, domains, table_name
from ...training.data.tracing import readings
from .tokens import place_of_document

if TYPE_CHECKING:
    from .streams import Stream

Row = dict[str, Any]
ROWS = ("parquet", "arrow")  # formats whose documents are told by their row, from 0, where others have an offset
SHOWN = ("url", "host", "source", "domain", "date", "title", "language", "license", "license_class", "page_type")


def trace(workspace: Workspace, id: str, along: "Sequence[Stream]" = ()) -> Row:
    """{id, document, origin, capture, lineage, way, tokens, readings} of a document; `readings` by stream."""
    id = id.strip().lower()
    with open_catalog(workspace, stale=True, query="select * from documents") as connection:
        found = _one(connection, "documents", id, "* exclude (text), strlen(text) as bytes")
        if found is None:
            return {"id": id, "removed": _removed(workspace, id)}
        told: Row = {"id": id, "document": {name: found[name] for name in (*SHOWN, "bytes")}}
        told["origin"] = dict(found["origin"]) | _lies(workspace, found["origin"]["file"])
        for table in ("captures", "lineage"):
            source = files(workspace, table)
            told[table.removesuffix("s")] = _one(connection, source, id) if source else None
        told["columns"] = [
            table.name
            for table in workspace.tables()
            if table.name.split("/")[0] == FOLDER and _one(connection, files(workspace, table.name), id, "id")
        ]
        told["way"] = [_decided(workspace, connection, stage, id) for stage in deciding(workspace)]
        regrouped = files(workspace, DOMAINS)
        told["regrouped"] = _one(connection, regrouped, id) if regrouped else None
    told["tokens"] = _tokens(workspace, id)
    told["readings"] = [_read(stream, told["tokens"]) for stream in along]
    return told


def _one(connection: duckdb.DuckDBPyConnection, source: str | None, id: str, what: str = "*") -> Row | None:
    if source is None:
        return None
    result = connection.execute(f"select {what} from {source} where id = {literal(id)} limit 1")
    names = [column[0] for column in result.description or ()]
    row = result.fetchone()
    return dict(zip(names, row, strict=True)) if row else None


def _removed(workspace: Workspace, id: str) -> Row:
    table = workspace.table("removed")
    for batch in table.read() if table.manifest() is not None else ():
        rows = batch.filter(pc.equal(batch["id"], id)).to_pylist()
        if rows:
            return rows[0]
    raise RequestError(f"no document of {workspace.url} has the id {id!r}; an id has 32 hex digits, see documents/")


def _lies(workspace: Workspace, file: str) -> Row:
    """{place, unit}: where the file of a document lies, as far as the ledger knows, and what its offset counts."""
    held = read_ledger(workspace).taken().get(file)
    rows = held is not None and held.format in ROWS
    return {"place": held.place or None if held is not None else None, "unit": "row" if rows else "byte"}


def _decided(workspace: Workspace, connection: duckdb.DuckDBPyConnection, stage: str, id: str) -> Row:
    row = _one(connection, files(workspace, f"decisions/{stage}"), id) or {"id": id, "stage": stage, "kept": None}
    edits = files(workspace, f"edits/{stage}")
    if edits:
        edit = _one(connection, edits, id, "strlen(text) as bytes, len(removed) as cuts")
        row["edited"] = edit
    return {key: value for key, value in row.items() if key != "id"}


def _tokens(workspace: Workspace, id: str) -> list[Row]:
    found = []
    for domain in domains(workspace) if workspace.is_local else ():
        for split in SPLITS:
            place = place_of_document(workspace, domain, split, id)
            if place is not None:
                found.append({"table": table_name(domain), "domain": domain, "split": split, **place})
    return found


def _read(stream: "Stream", tokens: Sequence[Row]) -> Row:
    """The steps of a stream that read the document; none where its tokens are others now."""
    told: Row = {"stream": stream.kind, "name": stream.name, "changed": list(stream.changed), "rows": None}
    if stream.loader is not None:
        told["rows"] = [
            vars(one)
            for row in tokens
            if row["split"] == "train"
            for one in readings(stream.loader, row["domain"], row["document"])
        ]
    return told


def lines(told: Row) -> list[str]:
    """The way, for a person."""
    if "removed" in told:
        gone = told["removed"]
        return [f"{told['id']} was removed on {gone['removed']}; the request: {gone['entry']}"]
    document, origin = told["document"], told["origin"]
    said = [f"document {told['id']}: {document['bytes']:,} bytes of text, language {document['language']}"]
    said.append(
        f"  from {origin['path']}, {origin['unit']} {origin['offset']} (counted from 0; source {document['source']}, "
        f"domain {document['domain']})"
    )
    said.append(f"  which lies at {origin['place'] or 'a place that is not known'}")
    if document["url"]:
        captured = f", captured {told['capture']['captured']}" if told["capture"] else ""
        said.append(f"  url {document['url']}{captured}")
    said.append(f"  licence {document['license'] or 'none stated'} ({document['license_class'] or 'no class'})")
    if told["lineage"]:
        said.append(f"  rewritten from {told['lineage']['parent']}")
    for row in told["way"]:
        said.append(f"  {row['stage']}: {_fate(row)}")
    if told["regrouped"]:
        said.append(f"  regrouped into domain {told['regrouped']['domain']}")
    for row in told["tokens"]:
        said.append(
            f"  {row['tokens']:,} tokens in {row['table']}/{row['shard']}, row {row['row']} ({row['split']}; document "
            f"{row['document']} of the domain)"
        )
    if not told["tokens"]:
        said.append("  no tokens")
    for one in told["readings"]:
        said += _readings(one)
    return said


def _fate(row: Row) -> str:
    if row["kept"] is None:
        return "did not come this far"
    cut = f", text edited in {row['edited']['cuts']} places" if row.get("edited") else ""
    if row["kept"]:
        return f"kept{cut}"
    same = f" (duplicate of {row['duplicate_of']})" if row.get("duplicate_of") else ""
    return f"dropped by {row['rule']}: value {row['value']}, threshold {row['threshold']}{same}"


def _readings(one: Row) -> list[str]:
    named = f"{one['stream']} {one['name']}"
    if one["rows"] is None:
        return [f"  {named}: the tokens of {', '.join(one['changed'])} are others now, so its steps cannot be named"]
    if not one["rows"]:
        return [f"  {named}: read in no step"]
    steps = sorted({row["step"] for row in one["rows"]})
    said = [f"  {named}: read in {len(one['rows'])} rows of {len(steps)} steps"]
    said += [
        f"    step {row['step']}, row {row['place']}: tokens {row['first']} to {row['last'] - 1}, "
        f"phase {row['phase']}, epoch {row['epoch']}, row {row['row']} of the domain"
        for row in one["rows"]
    ]
    return said
