"""`catalog.duckdb`: views over the tables of a workspace, and nothing else.

The views name the Parquet files that the manifests list, relative to nothing but the workspace, so that any DuckDB
client opens them. Opening a workspace never executes anything found in its data: only our own statements are run,
and file names are quoted.
"""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress

import duckdb

from ..columns.views import extra_of
from ..sql import literal, no_pattern, read_files
from . import schema
from .commits import Manifest
from .errors import WorkspaceError
from .fate import DOMAINS, deciding
from .freshness import reasons
from .lists.parts import PARTS
from .lists.shards import ShardList, facts_of
from .shards import filesystem, replacing
from .soundness import is_sound
from .workspace import Workspace

CATALOG = "catalog.duckdb"
NO_ROW = "select null::varchar as id"
EMPTY = {  # tables that answer queries before any stage has written them
    "documents": schema.DOCUMENTS,
    "decisions": schema.DECISIONS,
    "failures": schema.FAILURES,
    "duplicates": schema.DUPLICATES,
    "captures": schema.CAPTURES,
}
VIEWED = {"mixture": "table.parquet"}  # where the shards of a table are not alike: the one that its view shows

KINDS = {  # nested columns of those tables
    "origin": 'struct(path varchar, "offset" bigint, file varchar)',
    "languages": "struct(label varchar, score double)[]",
}


MOST_FILES = 250_000  # of a table that a client of the catalog can be asked to list: a kilobyte of memory each


def refresh_catalog(workspace: Workspace) -> None:
    """Write the catalog anew from the manifests. Only local workspaces carry one; others are opened in memory.

    DuckDB lists every file of a view whenever that is made or opened: where a table has more than `MOST_FILES`, the
    views say so, and `gristmill sql` answers in their place.
    """
    if not workspace.is_local:
        return
    if workspace.url in _put_off:
        _put_off[workspace.url] = workspace
        return
    crowded = _crowded(workspace)
    with replacing(workspace.path(CATALOG)) as scratch, tempfile.TemporaryDirectory() as folder:
        made = os.path.join(folder, CATALOG)  # DuckDB cannot make a file below a folder with `?` in its name
        with duckdb.connect(made) as connection:
            for statement in view_statements(workspace):
                _make(connection, _view(_name_of(statement), NO_ROW, crowded) if crowded else statement)
        shutil.copyfile(made, scratch)


_put_off: dict[str, Workspace | None] = {}  # URL -> the workspace whose catalog is to be written when the block ends


@contextmanager
def one_refresh(workspace: Workspace) -> Generator[None, None, None]:
    """Write the catalog once, when the block ends, however many stages in it ask for that, and however it ends."""
    if workspace.url in _put_off:
        yield
        return
    _put_off[workspace.url] = None
    try:
        yield
    finally:
        asked = _put_off.pop(workspace.url)
        if asked is not None:
            refresh_catalog(asked)


CHECKED = 1 << 30  # bytes that a query's files may have altogether to be held against their names, byte for byte
READS = {  # views over several tables
    "signals": ("signals/",),
    "scores": ("scores/",),
    "decisions": ("decisions/",),
    "failures": ("failures/",),
    "revisits": ("captures", "documents"),
    "funnel": ("documents", "decisions/", "edits/"),
    "curated": ("documents", "decisions/", "edits/", DOMAINS, "tags", "scores/", "signals/"),
}


def open_catalog(
    workspace: Workspace,
    stale: bool = False,
    query: str | None = None,
    damaged: bool = False,
    first: Sequence[str] = (),
) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with every view of the workspace; data outside the workspace cannot be reached.

    A view of what was made from something else than what is there now answers with an error that names the command to
    run; with `stale` it answers all the same. WorkspaceError where a file that the query reads (without one: any) is
    lost or damaged: sizes are compared always, bytes where there are at most `CHECKED`; not with `damaged`. `first` are
    statements of the caller's own that need what is shut off afterwards: a file to attach, a limit to set.
    """
    connection = duckdb.connect()
    if not damaged:
        refuse_damaged(workspace, query, connection)
    for statement in first:
        connection.execute(statement)
    if not workspace.is_local:
        connection.register_filesystem(filesystem(workspace.url)[0])
    for statement in view_statements(workspace, stale):
        _make(connection, statement)
    for statement in confinement(workspace):
        connection.execute(statement)
    return connection


def refuse_damaged(workspace: Workspace, query: str | None, parser: duckdb.DuckDBPyConnection) -> None:
    """WorkspaceError where a file that a query's views read is lost or damaged; names the command that mends it."""
    asked = _asked(workspace, query, parser)
    checked = sum(size for manifest in asked.values() for _, _, size in facts_of(manifest.shards)) <= CHECKED
    for name, manifest in asked.items():
        table = workspace.table(name)
        there = table.sizes()
        for _, file, size in facts_of(manifest.shards):
            if there.get(file) != size or (checked and not is_sound(*filesystem(f"{table.url}/{file}"))):
                state = "lost" if file not in there else "damaged"
                raise WorkspaceError(
                    f"{name}/{file} is {state}; "
                    f"run: gristmill {manifest.commit.command} --workspace {workspace.url} --force"
                )


def _asked(workspace: Workspace, query: str | None, parser: duckdb.DuckDBPyConnection) -> dict[str, Manifest]:
    """Tables that the views of a query read; all of them where that cannot be told."""
    held = {table.name: table.finished("reading") for table in workspace.tables()}
    views = None
    if query is not None:
        with suppress(duckdb.Error):  # what is no SQL is refused where it runs
            views = parser.get_table_names(query)
    if views is None:
        return held
    wanted = tuple(part for view in views for part in READS.get(view.strip('"').lower(), (view.strip('"').lower(),)))
    return {
        n: m for n, m in held.items() if any(n == part or (part[-1:] == "/" and n.startswith(part)) for part in wanted)
    }


def confinement(workspace: Workspace) -> Iterator[str]:
    """The statements after which a connection reads the workspace and nothing else, whatever a query asks for."""
    yield "set python_enable_replacements = false"
    if workspace.is_local:
        folders = {workspace.url, workspace.path(PARTS), *(table.url for table in workspace.tables())}
        allowed = {*folders, *(os.path.realpath(folder) for folder in folders)}  # tables may be links to other disks
        quoted = ", ".join(literal(folder) for folder in sorted({*allowed, *map(no_pattern, allowed)}))
        yield f"set allowed_directories = [{quoted}]"
        yield "set enable_external_access = false"
    else:
        yield "set disabled_filesystems = 'LocalFileSystem'"
    yield "set lock_configuration = true"


def view_statements(workspace: Workspace, stale: bool = False) -> Iterator[str]:
    """The statements that make the views, in an order in which each finds what it names."""
    present = {table.name for table in workspace.tables()}
    why = {} if stale else stale_tables(workspace)
    extra = extra_of(workspace)
    own = extra.select(workspace) if extra is not None else None
    if own:
        yield _view("columns", own, None)
    for name in sorted(present):
        if "/" not in name:
            source = files(workspace, name)
            if source and name == "documents" and own:
                joined = f'select own.*, "columns".extra from {source} own left join "columns" on "columns".id = own.id'
                yield _view(name, joined, why.get(name))
            elif source:
                yield _view(name, f"select * from {source}", why.get(name))
    for name, made in (("scores", scores_sql(workspace, present)), ("signals", signals_sql(workspace, present))):
        gone = sorted(table for table in why if table.startswith(f"{name}/"))
        if made:
            yield _view(name, made, None)
        elif gone:
            yield _view(name, NO_ROW, why[gone[0]])
    for name in EMPTY:
        if name not in ("decisions", "failures") and (name not in present or files(workspace, name) is None):
            yield _view(name, empty(name), None)
    chain = next((why[table] for table in why if table.startswith(("decisions/", "edits/")) or table == DOMAINS), None)
    yield _view("decisions", decisions_sql(workspace), chain)
    failed = [files(workspace, name) for name in sorted(present) if _within("failures", name)]
    failures = [f"select * from {source}" for source in failed if source]
    yield _view("failures", " union all ".join(failures) or empty("failures"), None)
    yield _view("revisits", REVISITS, None)
    yield _view("funnel", funnel_sql(workspace), chain)
    yield _view("curated", curated_sql(workspace, present), chain)


def _make(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Make a view; where a file that it reads is lost, one that says so whatever is asked of it."""
    try:
        connection.execute(statement)
    except duckdb.Error as error:
        why = f"a file that this view reads is lost or damaged ({str(error).splitlines()[0]}); run: gristmill audit"
        connection.execute(_view(_name_of(statement), NO_ROW, why))


def _name_of(statement: str) -> str:
    """The view that a statement makes."""
    return statement.split('"')[1]


def _crowded(workspace: Workspace) -> str:
    """Why the catalog has no view of this workspace; "" where it has."""
    for table in workspace.tables():
        count = len(table.finished("the catalog").shards)
        if count > MOST_FILES:
            return (
                f"{table.name}/ has {count:,} files, more than a catalog can list; "
                f"run: gristmill sql --workspace {workspace.url}"
            )
    return ""


def _view(name: str, select: str, stale: str | None) -> str:
    """A view; where it is stale, one that fails whatever is asked of it, `count(*)` too."""
    if stale is None:
        return f'create or replace view "{name}" as {select}'
    return f'create or replace view "{name}" as select * from ({select}) where error({literal(stale)})'


def stale_tables(workspace: Workspace) -> dict[str, str]:
    """table -> why it does not hold any more and what mends it."""
    found = {}
    for commit in workspace.commits().values():
        why = reasons(workspace, commit)
        for table in commit.tables if why else ():
            found[table] = (
                f"{table}/ was made before {', '.join(why)} changed; "
                f"run: gristmill {commit.command} --workspace {workspace.url}"
            )
    return found


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
    families = [name for name in sorted(present) if _within("signals", name) and _fresh(workspace, name)]
    sources = [source for source in (files(workspace, name) for name in families) if source]
    if not sources:
        return None
    joins = "".join(f" join {source} family{n} using (id)" for n, source in enumerate(sources[1:], 1))
    return f"select * from {sources[0]} family0{joins}"


def scores_sql(workspace: Workspace, present: set[str]) -> str | None:
    """One struct column for each `scores/<name>/`: `select id, color.score from scores`. Those of other documents stay
    out; a document that a method did not see is null there."""
    methods = {}
    for name in sorted(present):
        source = files(workspace, name) if _within("scores", name) and _fresh(workspace, name) else None
        if source:
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
    replaced = {"text": text} if text != "documents.text" else {}
    regrouped = files(workspace, DOMAINS)
    if regrouped:
        joins += f" left join {regrouped} regrouped on regrouped.id = documents.id"
        replaced["domain"] = "coalesce(regrouped.domain, documents.domain)"
    edited = f" replace ({', '.join(f'{sql} as {name}' for name, sql in replaced.items())})" if replaced else ""
    return (
        f"select documents.*{edited}{columns} from documents{joins} "
        f"where documents.id in (select id from decisions where kept)"
    )


def files(workspace: Workspace, name: str) -> str | None:
    """`read_parquet([...])` over the Parquet shards that the manifest lists; None where there are none."""
    manifest = workspace.table(name).manifest()
    if manifest is None:
        return None
    if isinstance(manifest.shards, ShardList) and name not in VIEWED and manifest.shards.parts:
        return _many(workspace, name, manifest.shards)
    shards = [shard for shard in manifest.shards if shard.name.endswith(".parquet")]
    if name in VIEWED:
        shards = [shard for shard in shards if shard.name == VIEWED[name]]
    if not shards:
        return None
    table = workspace.table(name)
    return read_files(table.file_url(shard) for shard in shards)


def _many(workspace: Workspace, name: str, shards: ShardList) -> str:
    """The rows of the files that the parts of a long list name: of every part those that no later part supersedes."""
    table = workspace.table(name)
    told = [f"select {n} as part, name, file, removed from {read_files([workspace.path(one.file)])}"
            for n, one in enumerate(shards.parts)]  # fmt: skip
    last = " qualify row_number() over (partition by name order by part desc) = 1"
    held = f"select file from (select * from ({' union all '.join(told)}){last}) where not removed"
    return (
        f"(select * exclude (filename) from read_parquet({literal(no_pattern(table.url) + '/*.parquet')}, "
        f"hive_partitioning = false, filename = true) where parse_filename(filename) in ({held}))"
    )


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
    joins, text = "", "documents.text"
    for step, stage in enumerate(deciding(workspace), 1):
        source = files(workspace, f"decisions/{stage}")
        edits = files(workspace, f"edits/{stage}")
        if edits:  # what is kept is counted as the stage left it
            joins += f" left join (select id, text from {edits}) edit{step} on edit{step}.id = documents.id"
        after = f"coalesce(edit{step}.text, {text})" if edits else text
        if source:
            parts.append(
                f"select {step}, '{stage}', domain, case when kept then 'kept' else 'dropped' end, rule, count(*), "
                f"coalesce(sum(strlen(case when kept then {after} else {text} end)), 0)::bigint "
                f"from {source} decided join documents on documents.id = decided.id{joins} group by all"
            )
        text = after
    return " union all ".join(parts)


def _within(folder: str, name: str) -> bool:
    return name.split(os.sep)[0] == folder and "/" in name


def _fresh(workspace: Workspace, name: str) -> bool:
    manifest = workspace.table(name).manifest()
    return manifest is not None and not reasons(workspace, manifest.commit)
