"""`catalog.duckdb`: views over the tables of a workspace, and nothing else.

The views name the Parquet files that the manifests list, relative to nothing but the workspace, so that any DuckDB
client opens them. Opening a workspace never executes anything found in its data: only our own statements are run,
and file names are quoted.
"""

import os
from collections.abc import Iterator

import duckdb

from . import schema
from .fate import deciding
from .shards import filesystem, replacing
from .workspace import Workspace

CATALOG = "catalog.duckdb"
EMPTY = {  # tables that answer queries before any stage has written them
    "documents": schema.DOCUMENTS,
    "decisions": schema.DECISIONS,
    "failures": schema.FAILURES,
    "duplicates": schema.DUPLICATES,
    "captures": schema.CAPTURES,
}
VIEWED = {"mixture": "table.parquet"}  # where the shards of a table are not alike: the one that its view shows

KINDS = {  # nested columns of those tables
    "origin": 'struct(path varchar, "offset" bigint)',
    "languages": "struct(label varchar, score double)[]",
}


def refresh_catalog(workspace: Workspace) -> None:
    """Write the catalog anew from the manifests. Only local workspaces carry one; others are opened in memory."""
    if not workspace.is_local:
        return
    with replacing(workspace.path(CATALOG)) as scratch:
        with duckdb.connect(scratch) as connection:
            for statement in view_statements(workspace):
                connection.execute(statement)


def open_catalog(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with every view of the workspace; data outside the workspace cannot be reached."""
    connection = duckdb.connect()
    if not workspace.is_local:
        connection.register_filesystem(filesystem(workspace.url)[0])
    for statement in view_statements(workspace):
        connection.execute(statement)
    return connection


def view_statements(workspace: Workspace) -> Iterator[str]:
    """The statements that make the views, in an order in which each finds what it names."""
    present = {table.name for table in workspace.tables()}
    for name in sorted(present):
        if "/" not in name:
            source = files(workspace, name)
            if source:
                yield f'create or replace view "{name}" as select * from {source}'
    scores = scores_sql(workspace, present)
    if scores:
        yield f"create or replace view scores as {scores}"
    signals = signals_sql(workspace, present)
    if signals:
        yield f"create or replace view signals as {signals}"
    for name in EMPTY:
        if name in ("decisions", "failures"):
            continue
        if name not in present or files(workspace, name) is None:
            yield f'create or replace view "{name}" as {empty(name)}'
    yield f"create or replace view decisions as {decisions_sql(workspace)}"
    failed = [files(workspace, name) for name in sorted(present) if _within("failures", name)]
    failures = [f"select * from {source}" for source in failed if source]
    yield f"create or replace view failures as {' union all '.join(failures) or empty('failures')}"
    yield f"create or replace view revisits as {REVISITS}"
    yield f"create or replace view funnel as {funnel_sql(workspace)}"
    yield f"create or replace view curated as {curated_sql(workspace, present)}"


# A revisit is a capture whose page had not changed: `document` is the one that holds its text, null where the original
# is in no input. It is found by record, else by digest and address, else by address and time, whatever came in first.
REVISITS = """
    with held as (select * from captures where not revisit and id in (select id from documents)),
    by_record as (select record, min(id) as document from held where record is not null group by all),
    by_digest as (select digest, url, min(id) as document from held where digest is not null group by all),
    by_time as (select url, captured, min(id) as document from held group by all)
    select r.* exclude (revisit), coalesce(by_record.document, by_digest.document, by_time.document) as document
    from captures r
    left join by_record on by_record.record = r.refers_to
    left join by_digest on by_digest.digest = r.digest and by_digest.url = coalesce(r.refers_to_url, r.url)
    left join by_time on by_time.url = r.refers_to_url and by_time.captured = r.refers_to_date
    where r.revisit
"""


def signals_sql(workspace: Workspace, present: set[str]) -> str | None:
    """One wide view: `signals/<family>/` each hold one struct column; families made from other documents stay out."""
    documents = workspace.table("documents").manifest()
    families = []
    for name in sorted(present):
        manifest = workspace.table(name).manifest() if _within("signals", name) else None
        if manifest and documents and manifest.inputs.get("documents") == documents.fingerprint:
            families.append(name)
    sources = [source for source in (files(workspace, name) for name in families) if source]
    if not sources:
        return None
    joins = "".join(f" join {source} family{n} using (id)" for n, source in enumerate(sources[1:], 1))
    return f"select * from {sources[0]} family0{joins}"


def scores_sql(workspace: Workspace, present: set[str]) -> str | None:
    """One struct column for each `scores/<name>/`: `select id, color.score from scores`. Those of other documents stay
    out; a document that a method did not see is null there."""
    documents = workspace.table("documents").manifest()
    methods = {}
    for name in sorted(present):
        manifest = workspace.table(name).manifest() if _within("scores", name) else None
        source = files(workspace, name)
        if manifest and source and documents and manifest.inputs.get("documents") == documents.fingerprint:
            methods[name.split("/")[1]] = source
    if not methods:
        return None
    parts = [f'(select id, own as "{method}" from {source} own)' for method, source in methods.items()]
    return f"select * from {parts[0]}" + "".join(f" full join {part} using (id)" for part in parts[1:])


def curated_sql(workspace: Workspace, present: set[str]) -> str:
    """Documents that are kept, their text as the last edit left it, beside what was measured, scored and tagged."""
    measured = [name for name in ("tags",) if name in present and files(workspace, name)]
    if scores_sql(workspace, present):
        measured.insert(0, "scores")
    if signals_sql(workspace, present):
        measured.insert(0, "signals")
    columns = "".join(f', "{name}".* exclude (id)' for name in measured)
    joins = "".join(f' left join "{name}" on "{name}".id = documents.id' for name in measured)
    text = "documents.text"
    for step, stage in enumerate(deciding(workspace)):
        source = files(workspace, f"edits/{stage}")
        if source:
            joins += f" left join (select id, text from {source}) edit{step} on edit{step}.id = documents.id"
            text = f"coalesce(edit{step}.text, {text})"
    edited = f" replace ({text} as text)" if text != "documents.text" else ""
    return (
        f"select documents.*{edited}{columns} from documents{joins} "
        f"where documents.id in (select id from decisions where kept)"
    )


def files(workspace: Workspace, name: str) -> str | None:
    """`read_parquet([...])` over the Parquet shards that the manifest lists; None where there are none."""
    manifest = workspace.table(name).manifest()
    if manifest is None:
        return None
    shards = [shard.name for shard in manifest.shards if shard.name.endswith(".parquet")]
    if name in VIEWED:
        shards = [shard for shard in shards if shard == VIEWED[name]]
    if not shards:
        return None
    quoted = ", ".join("'" + workspace.table(name).shard_url(shard).replace("'", "''") + "'" for shard in shards)
    return f"read_parquet([{quoted}])"


def empty(name: str) -> str:
    """A select with the columns of a declared table and no row."""
    types = {"string": "varchar", "double": "double", "bool": "boolean", "int64": "bigint"}
    columns = []
    for field in EMPTY[name]:
        kind = types.get(str(field.type))
        if kind is None:
            kind = KINDS.get(field.name, "timestamptz")
        columns.append(f'null::{kind} as "{field.name}"')
    return f"select {', '.join(columns)} where false"


def decisions_sql(workspace: Workspace) -> str:
    """Each document's fate: dropped where a stage dropped it, else its row in the last stage."""
    stages = [stage for stage in deciding(workspace) if files(workspace, f"decisions/{stage}")]
    if not stages:
        return empty("decisions")
    selects = [f"select * from {files(workspace, f'decisions/{stage}')}" for stage in stages]
    return " union all ".join([*(select + " where not kept" for select in selects[:-1]), selects[-1]])


def funnel_sql(workspace: Workspace) -> str:
    """Per stage and domain: documents and bytes in, kept, and dropped by rule. Rows are ordered as the stages ran."""
    parts = [
        "select 0 as step, 'extract' as stage, domain, 'kept' as fate, null as rule, count(*) as documents, "
        "coalesce(sum(strlen(text)), 0)::bigint as bytes from documents group by all"
    ]
    for step, stage in enumerate(deciding(workspace), 1):
        source = files(workspace, f"decisions/{stage}")
        if source:
            parts.append(
                f"select {step}, '{stage}', domain, case when kept then 'kept' else 'dropped' end, rule, count(*), "
                f"coalesce(sum(strlen(text)), 0)::bigint from {source} join documents using (id) group by all"
            )
    return " union all ".join(parts)


def _within(folder: str, name: str) -> bool:
    return name.split(os.sep)[0] == folder and "/" in name
