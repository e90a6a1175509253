"""One row a document, with all that was decided and measured of it: what the explorer's pages count.

Made once for a state of a workspace and kept in the user's cache folder under the fingerprint of that state; the
workspace is read and never written. The tables:

    facts     every document: where it is from, its first words, its fate, its signals, the filter's rules it failed
    ids       the number of each document, by which `facts` is in order, and its cell, in the order of the ids
    cube      documents, bytes and tokens by domain, source, language, kind of page, licence and fate; `cell` of `facts`
              is the row of it that a document is in
    passing   documents, bytes and tokens that pass every rule of the filter, by domain
    hosts     the same by host
    failed    by filter rule and domain: documents that fail it, and those that fail it alone; pairs that fail together
    copies    documents in clusters of more than one; clusters, a row each
    sampled   a sample of facts by the beginning of the id, for histograms; all of them up to `SAMPLE`

Tables that were made from something that is gone are left out; `stale_tables` says which. Refuses nothing.
"""

import os
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from ....corpus.columns.views import extra_of
from ....corpus.sql import literal, no_pattern
from ....corpus.store.catalog import stale_tables
from ....corpus.store.commits import Manifest
from ....corpus.store.fate import DOMAINS, deciding
from ....corpus.store.shards import Shard, filesystem, fingerprint, parquet_schema, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.cuts import cut_lines
from ...evidence.tokens import tokens_by_document
from ..rules import FilterRules, family_column, filter_rules
from .cache import WORKING, cache_folder, cached, keep, limits, scratch_of
from .summaries import number_cells, summarise, with_tokens

VERSION = 5  # raised when the same workspace gives other rows
ROWS = 100_000  # documents that are read together
OFTEN = 10  # groups of them after which the file is brought up to date
PLAIN = (
    "source host url title language language_score license license_class page_type page_type_score date links"
).split()


def state_of(workspace: Workspace) -> str:
    """The fingerprint of what lies in a workspace now."""
    return fingerprint("facts", VERSION, sorted((n, c.fingerprint) for n, c in workspace.commits().items()))


def are_made(workspace: Workspace) -> bool:
    """Whether the tables are there for the workspace as it is now; making them reads every document once."""
    return os.path.exists(cached(workspace, state_of(workspace), "duckdb"))


def facts_file(workspace: Workspace) -> str:
    """The DuckDB file with the tables for the workspace as it is now, made where it is not there yet."""
    path = cached(workspace, state_of(workspace), "duckdb")
    if not os.path.exists(path):
        scratch = scratch_of(path)
        with duckdb.connect(scratch) as connection:
            for statement in limits(cache_folder(), WORKING):
                connection.execute(statement)
            if not workspace.is_local:
                connection.register_filesystem(filesystem(workspace.url)[0])
            _make(connection, workspace, f"{scratch}-rows")
            _to_disk(connection)
        keep(scratch, path)
    os.utime(path)
    return path


def _to_disk(connection: duckdb.DuckDBPyConnection) -> None:
    """Put what was written into the file itself: what fails when a file is closed is not told, and its tables are lost.
    One row group is put together at a time, for each takes what all of its columns take."""
    threads = connection.execute("select current_setting('threads')").fetchone()
    connection.execute("set threads = 1")
    connection.execute("checkpoint")
    connection.execute(f"set threads = {threads[0] if threads else 1}")


def _make(connection: duckdb.DuckDBPyConnection, workspace: Workspace, beside: str) -> None:
    """Make every table; rows whose tokens are told once all are known wait in a file beside."""
    made = Facts(workspace)
    documents = workspace.table("documents").manifest()
    connection.execute("create table about as select 0::bigint as documents, ''::varchar as rules, true as exact")
    shards = [shard for shard in documents.shards if shard.rows] if documents is not None else []
    tokens = _tokens(connection, workspace)
    rows, more = ("beside.waiting", "") if tokens else ("facts", ", null::double as about_tokens")
    if tokens:
        beside = scratch_of(beside)
        connection.execute(f"attach {literal(beside)} as beside")
    for number, group in enumerate(_groups(shards)):
        cut = made.cut(group)
        if cut is not None:
            connection.register("cut", cut)
        connection.execute(f"create or replace temp table part as {made.select(group, tokens)}")
        if cut is not None:
            connection.unregister("cut")
        numbered = f"select *{more} from ({number_cells(connection, 'part')})"
        connection.execute(f"{f'insert into {rows}' if number else f'create table {rows} as'} {numbered}")
        if number % OFTEN == OFTEN - 1 and not tokens:
            _to_disk(connection)
    if tokens:
        if shards:
            with_tokens(connection, rows)
        connection.execute("detach beside")
        os.remove(beside)
    if not shards:
        return
    connection.execute("drop table part")
    rules = made.rules.settings.rules.model_dump_json() if made.rules else ""
    summarise(connection, rules, made.whole("duplicates"))


def _groups(shards: Sequence[Shard]) -> Iterator[list[Shard]]:
    """Shards in order, some of them together where they are small."""
    held: list[Shard] = []
    for shard in shards:
        if held and sum(one.rows for one in held) + shard.rows > ROWS:
            yield held
            held = []
        held.append(shard)
    if held:
        yield held


def _tokens(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> bool:
    """A table of each document's tokens, where they were counted. Whether there is one."""
    stale = stale_tables(workspace)
    if not workspace.is_local or any(name.startswith("tokens/") for name in stale):
        return False
    schema = pa.schema([("id", pa.string()), ("domain", pa.string()), ("tokens", pa.int64())])
    found = False
    for split in ("train", "heldout"):
        for batch in tokens_by_document(workspace, split):
            connection.register("counted", pa.Table.from_batches([batch], schema))
            made = "insert into counted_tokens" if found else "create temp table counted_tokens as"
            connection.execute(f"{made} select id, tokens from counted")
            connection.unregister("counted")
            found = True
    return found


class Facts:
    """The SQL of the rows of `facts` for some shards of documents/."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.stale = stale_tables(workspace)
        self.stages = deciding(workspace)
        self.decided = bool(self.stages) and not any(
            name.startswith(("decisions/", "edits/")) or name == DOMAINS for name in self.stale
        )
        self.rules: FilterRules | None = filter_rules(workspace) if self.decided else None
        self.extra = extra_of(workspace)
        self.apart: dict[str, bool] = {}  # tables, and whether they have shards that the documents have not
        self.seen = 0  # shards whose rows have their numbers
        self.tables = {table.name: table.finished("explore") for table in workspace.tables()}

    def cut(self, group: Sequence[Shard]) -> pa.Table | None:
        """What line rules left of each text: `kept` and `removed`, as the filter's rules read them."""
        if self.rules is None or self.rules.lines is None or self.rules.settings.rules.lines is None:
            return None
        parts = []
        table = self.workspace.table("documents")
        for shard in group:
            for batch in read_batches(table.file_url(shard), ["id", "text"], 2048):
                found = cut_lines(batch["text"], self.rules.settings.rules.lines, self.rules.lines)
                parts.append(pa.table({"id": batch["id"], "kept": found.kept, "removed": found.removed}))
        return pa.concat_tables(parts) if parts else None

    def select(self, group: Sequence[Shard], tokens: bool) -> str:
        """A select of the rows of a group of shards."""
        documents = self.tables["documents"]
        columns = [
            f"{self._number(group)} as number",
            "d.id",
            "parse_filename(d.filename) as file",
            "d.file_row_number as place",
            "d.domain stated_domain",
        ]
        columns += [f"d.{name}" for name in PLAIN]
        columns += ["left(d.text, 160) as begins", "strlen(d.text) as bytes", "length(d.text) as characters"]
        joins = ""
        regrouped = self.read(DOMAINS, group)
        columns.append(("coalesce(r.domain, d.domain)" if regrouped else "d.domain") + " as domain")
        joins += f" left join {regrouped} r on r.id = d.id" if regrouped else ""
        columns += self._fate(group)
        joins += f" left join ({self._decisions(group)}) k on k.id = d.id" if self.decided else ""
        columns.append("t.tokens" if tokens else "null::bigint as tokens")
        joins += " left join counted_tokens t on t.id = d.id" if tokens else ""
        for number, (name, source) in enumerate(self._beside(group)):
            columns.append(source[1].format(alias=f"j{number}") + f' as "{name}"')
            joins += f" left join {source[0]} j{number} on j{number}.id = d.id"
        if self.rules is not None and self.rules.lines is not None:
            columns += ["c.kept as kept", "c.removed as removed"]
            joins += " left join cut c on c.id = d.id"
        inner = f"select {', '.join(columns)} from {self._files(documents, group, True)} d{joins}"
        if self.rules is None:
            return f"select *, null::smallint[] as failing, null::smallint as sole from ({inner})"
        values, fails = self.rules.values_and_fails()
        numbered = ", ".join(f"case when {fail} then {place} end" for place, fail in enumerate(fails))
        failing = f"list_filter([{numbered}], lambda x: x is not null)" if fails else "[]"
        measured = ", ".join(["*", *values])
        sole = "case len(failing) when 0 then -1 when 1 then failing[1] else -2 end::smallint as sole"
        return (
            f"with i as materialized ({inner}) select i.*, f.failing, {sole} from i join (select id, "
            f"{failing}::smallint[] as failing from (select {measured} from {self.rules.relation('i')})) f using (id)"
        )

    def _number(self, group: Sequence[Shard]) -> str:
        """A number of each row that ascends as the rows lie: place of the shard << 32 | place of the row."""
        table = self.workspace.table("documents")
        names = ", ".join(literal(os.path.basename(table.file_url(shard))) for shard in group)
        base = self.seen
        self.seen += len(group)
        place = f"list_position([{names}], parse_filename(d.filename))"
        return f"({base} + {place})::bigint * 4294967296 + d.file_row_number"

    def _fate(self, group: Sequence[Shard]) -> list[str]:
        nothing = ["null::varchar as stage", "null::varchar as rule", "null::double as value"]
        nothing += ["null::double as threshold", "null::varchar as duplicate_of"]
        if not self.decided:
            return [f"'{'undecided' if self.stages else 'kept'}' as fate", *nothing]
        fate = "case when k.kept then 'kept' when k.kept is null then 'failed' else 'dropped' end as fate"
        return [fate, "k.stage", "k.rule", "k.value", "k.threshold", "k.duplicate_of"]

    def _decisions(self, group: Sequence[Shard]) -> str:
        """Dropped where a stage dropped it, else its row in the last stage."""
        selects = []
        for number, stage in enumerate(self.stages):
            source = self.read(f"decisions/{stage}", group)
            if source:
                last = number == len(self.stages) - 1
                selects.append(f"select * from {source}" + ("" if last else " where not kept"))
        none = "null::varchar as stage, null::varchar as rule, null::double as value, null::double as threshold"
        empty = f"select ''::varchar as id, false as kept, {none}, null::varchar as duplicate_of where false"
        return " union all by name ".join([empty, *selects])

    def _beside(self, group: Sequence[Shard]) -> Iterator[tuple[str, tuple[str, str]]]:
        """(column of facts, (relation, SQL over its row)) of families of signals, scores, tags and own columns."""
        for name, manifest in sorted(self.tables.items()):
            folder, _, rest = name.partition("/")
            if folder not in ("signals", "scores", "tags") or name in self.stale or not manifest.shards:
                continue
            source = self.read(name, group)
            if source is None:
                source = self._files(manifest, list(manifest.shards)[:1], False)  # for its type alone
                source = f"(select * from {source} where false)"
            kinds = parquet_schema(self.workspace.table(name).file_url(manifest.shards[0]))
            if folder == "signals":
                kind = kinds.field(rest).type if rest in kinds.names else None
                if kind is not None and not any(pa.types.is_nested(field.type) for field in kind):
                    yield family_column(rest), (source, f'{{alias}}."{rest}"')
                continue
            plain = [field.name for field in kinds if field.name != "id" and not pa.types.is_nested(field.type)]
            packed = ", ".join(f'"{one}" := {{alias}}."{one}"' for one in plain)
            if plain:
                yield (f"scores:{rest}" if folder == "scores" else "tags"), (source, f"struct_pack({packed})")
        if self.extra is not None:
            names = {shard.name for shard in group}
            parts = [
                self.extra.select(self.workspace, name)
                for name in sorted(names)
                if any(name in self.tables[table].by_name for table in self.extra.tables)
            ]
            told = " union all ".join(part for part in parts if part) or self.extra.select(self.workspace)
            if told:
                ended = "" if parts else " where false"
                yield "extra", (f"(select * from ({told}){ended})", "{alias}.extra")

    def read(self, name: str, group: Sequence[Shard]) -> str | None:
        """SQL for the rows of a table that may be of a group of documents; None where it has none or is stale."""
        manifest = self.tables.get(name)
        if manifest is None or name in self.stale:
            return None
        known = self.tables["documents"].by_name
        own = manifest.by_name
        chosen = [own[shard.name] for shard in group if shard.name in own]
        if name not in self.apart:
            self.apart[name] = any(shard not in known for shard in own)
        if self.apart[name]:  # not laid out as the documents are
            chosen = list(manifest.shards)
        return self._files(manifest, chosen, False) if chosen else None

    def whole(self, name: str) -> str | None:
        """SQL for all rows of a table; None where it has none or is stale."""
        manifest = self.tables.get(name)
        if manifest is None or name in self.stale or not manifest.shards:
            return None
        return self._files(manifest, list(manifest.shards), False)

    def _files(self, manifest: Manifest, shards: Sequence[Shard], numbered: bool) -> str:
        table = self.workspace.table(manifest.table)
        urls = ", ".join(literal(no_pattern(table.file_url(shard))) for shard in shards)
        more = ", filename = true, file_row_number = true" if numbered else ""
        return f"read_parquet([{urls}], hive_partitioning = false{more})"
