"""The users' own columns as SQL shows them: one column `extra` for documents of all schemas, typed.

Fields of one name in several schemas are one field: of their type where it is the same, of a wider number where all are
numbers, else as text. JSON values have their JSON type (`shapes.py`). Reads commits and one footer for each schema.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from .. import arrow_functions as pc
from ..sql import literal, read_files
from ..store.shards import filesystem, parquet_schema
from ..store.workspace import Workspace
from .carried import FOLDER, JSON_TABLE, SCHEMA_KEY
from .shapes import shape_of, sql_can_name
from .stored import apart


@dataclass(frozen=True)
class ExtraField:
    """A field of `extra` in one table: SQL over its row, and the Arrow type that this gives. `structure` is that of a
    key of JSON which is taken from `whole`, the keys of an object that are asked for."""

    name: str
    sql: str
    type: pa.DataType
    structure: Any = None


@dataclass(frozen=True)
class Extra:
    """`extra` of a workspace: its type, and for each table the fields that it has."""

    type: pa.StructType
    tables: dict[str, list[ExtraField]]

    def select(self, workspace: Workspace, shard: str | None = None, only: Collection[str] = ()) -> str | None:
        """SQL for rows (id, extra) of the workspace, of one shard, or of some fields; None where no row is."""
        parts = []
        for table, fields in self.tables.items():
            manifest = workspace.table(table).finished("reading columns")
            shards = [one for one in manifest.shards if shard is None or one.name == shard]
            if shards:
                files = read_files(workspace.table(table).file_url(one) for one in shards)
                parts.append(self._packed({field.name.lower(): field for field in fields}, only, files))
        return " union all ".join(parts) or None

    def _packed(self, fields: dict[str, ExtraField], only: Collection[str], files: str) -> str:
        chosen, structure = [], {}
        for one in self.type:
            if only and one.name not in only:
                continue
            found = fields.get(one.name.lower())
            sql = "null" if found is None else _as(found, one.type)
            chosen.append(f"{_name(one.name)} := {sql}")
            if found is not None and found.structure is not None:
                structure[found.name] = found.structure
        source = f"(select *, {whole_of(structure)} as whole from {files})" if structure else files
        return f"select id, struct_pack({', '.join(chosen)}) as extra from {source}"


def extra_of(workspace: Workspace) -> Extra | None:
    """What the workspace has; None where no document came with columns."""
    tables: dict[str, list[ExtraField]] = {}
    for table in workspace.tables():
        manifest = table.manifest()
        if table.name.split("/")[0] != FOLDER or manifest is None or not manifest.shards:
            continue
        if table.name == JSON_TABLE:
            tables[table.name] = list(_json_fields(manifest.counts))
        else:
            kind = parquet_schema(table.file_url(manifest.shards[0])).field("extra").type
            tables[table.name] = [_arrow_field(one) for one in kind]
    kinds: dict[str, list[pa.DataType]] = {}
    names: dict[str, str] = {}
    for fields in tables.values():
        for field in fields:
            names.setdefault(field.name.lower(), field.name)
            kinds.setdefault(field.name.lower(), []).append(field.type)
    if not names:
        return None
    return Extra(pa.struct([(names[key], _common(kinds[key])) for key in names]), tables)


def original_schema(workspace: Workspace, table: str) -> pa.Schema | None:
    """The schema that the rows of a table came with; None for JSON."""
    manifest = workspace.table(table).finished("reading columns")
    metadata = parquet_schema(workspace.table(table).file_url(manifest.shards[0])).metadata or {}
    return pa.ipc.read_schema(pa.py_buffer(metadata[SCHEMA_KEY])) if SCHEMA_KEY in metadata else None


def whole_of(structure: dict[str, Any]) -> str:
    """SQL for keys of `object` as one struct; read once for all of them."""
    return f"try(json_transform(object, {literal(json.dumps(structure))}))"


def _json_fields(counts: dict[str, int]) -> Iterable[ExtraField]:
    every = shape_of(counts)
    shapes = {name: shape for name, shape in every.items() if {*shape.kinds} - {"null"} != {"text"}}
    shown = dict(zip(shapes, apart(list(shapes)), strict=True))
    for name, shape in shapes.items():
        if shape.is_rest:
            without = literal(json.dumps(dict.fromkeys(every)))
            sql = f"nullif(cast(try(json_merge_patch(object, {without})) as varchar), '{{}}')"
        elif shown[name] == name:
            yield ExtraField(name, f"whole.{_name(name)}", _sql_type(shape.type), shape.structure())
            continue
        else:  # an empty name, or one that differs from another in case alone
            pointer = "/" + name.replace("~", "~0").replace("/", "~1")
            found = f"json_extract(object, {literal(pointer)})"
            sql = f"try(json_transform({found}, {literal(json.dumps(shape.structure()))}))"
        yield ExtraField(shown[name], sql, _sql_type(shape.type))


def _sql_type(kind: pa.DataType) -> pa.DataType:
    """The type as SQL has it: JSON where names of fields are told apart by case alone, or one has none."""
    if pa.types.is_struct(kind):
        if not sql_can_name([field.name for field in kind]):
            return pa.string()
        return pa.struct([(field.name, _sql_type(field.type)) for field in kind])
    return pa.list_(_sql_type(kind.value_type)) if pa.types.is_list(kind) else kind


def _arrow_field(field: pa.Field) -> ExtraField:
    """A field as it is stored. What lies there as seconds or days in numbers stays a number."""
    return ExtraField(field.name, f"extra.{_name(field.name)}", field.type)


def _common(kinds: list[pa.DataType]) -> pa.DataType:
    kinds = [kind for kind in kinds if not pa.types.is_null(kind)] or kinds
    if all(kind == kinds[0] for kind in kinds):
        return kinds[0]
    if all(pa.types.is_integer(kind) and kind != pa.uint64() for kind in kinds):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    return pa.string()


def _as(field: ExtraField, kind: pa.DataType) -> str:
    if field.type == kind:
        return field.sql
    if pa.types.is_null(field.type):
        return "null"
    wider = {pa.int64(): "bigint", pa.float64(): "double"}
    return f"cast({field.sql} as {wider.get(kind, 'varchar')})"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class ShardExtra:
    """`extra` of the documents of one shard, by id. `only`: names of the fields to read; all where there are none."""

    def __init__(self, workspace: Workspace, shard: str, only: Collection[str] = ()) -> None:
        extra = extra_of(workspace)
        fields = [one for one in extra.type if not only or one.name in only] if extra is not None else []
        self.type = pa.struct(fields)
        query = extra.select(workspace, shard, only) if extra is not None and fields else None
        self._ids: pa.Array = pa.array([], pa.string())
        self._rows: pa.StructArray = pa.array([], self.type)
        if query is not None:
            with duckdb.connect() as connection:
                if not workspace.is_local:
                    connection.register_filesystem(filesystem(workspace.url)[0])
                table = connection.sql(query).to_arrow_table().combine_chunks()
            if table.num_rows:
                self._ids = table["id"].chunk(0)
                parts = [
                    part.cast(one.type) for part, one in zip(table["extra"].chunk(0).flatten(), fields, strict=True)
                ]
                self._rows = pa.StructArray.from_arrays(parts, fields=fields)

    def of(self, ids: pa.Array) -> pa.StructArray:
        """(D,) struct for these ids; null for documents without columns of their own."""
        return self._rows.take(pc.index_in(ids, value_set=self._ids))
