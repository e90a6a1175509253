"""Rows as they came in, made of what `columns/` holds and the document's text: Arrow rows in their own schema, JSON
objects byte for byte.

A text that a stage changed takes the place of the one that came; another is the text as it came, unless the settled
form of extraction is asked for. What a column type cannot hold is refused where it is written, not here.
"""

import base64
import datetime
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from .json_objects import decoded, in_a_line, members, selected, spelt, with_text
from .shapes import KeyShape, others
from .stored import apart, is_list, restored, stored_type

TEXT = "text"


@dataclass(frozen=True)
class Texts:
    """The texts of the documents to give back.

    of        id -> text as the stages left it
    changed   ids whose text a stage changed
    settled   whether texts that no stage changed are given as extraction settled them
    """

    of: Mapping[str, str]
    changed: Collection[str]
    settled: bool = False

    def choose(self, name: str, came: str | None) -> str:
        """The text of a document; `came` is the one that came, where it was another."""
        return self.of[name] if came is None or self.settled or name in self.changed else came


# ---- Arrow


def schema_with_text(schema: pa.Schema, lacking: bool) -> pa.Schema:
    """The schema, with a column for the text where rows have one that they did not come with."""
    return schema.append(pa.field(TEXT, pa.string())) if lacking and TEXT not in schema.names else schema


def arrow_rows(batch: pa.RecordBatch, schema: pa.Schema, came: pa.Schema, texts: Texts) -> pa.RecordBatch:
    """Rows of a table of `columns/` whose ids are all in `texts`, in `schema`: that which they came with, or one with a
    column for the text."""
    ids, origins = batch["id"].to_pylist(), batch["text_from"].to_pylist()
    chosen = [texts.choose(name, own) for name, own in zip(ids, batch["text"].to_pylist(), strict=True)]
    columns = [restored(part, field.type) for part, field in zip(batch["extra"].flatten(), came, strict=True)]
    if len(schema) > len(came):
        columns.append(pa.nulls(len(ids), pa.string()))
    for column in {*origins}:
        place = schema.get_field_index(column if column is not None else TEXT)
        if place < 0:
            continue
        kind = schema.field(place).type
        textual = _is_text(kind)
        rows = [
            at for at, origin in enumerate(origins)
            if origin == column and (textual or ids[at] in texts.changed or column is None)
        ]  # fmt: skip
        if rows:
            columns[place] = _replaced(columns[place], kind, dict(zip(rows, (chosen[at] for at in rows), strict=True)))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    return pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)


def _replaced(column: pa.Array, kind: pa.DataType, texts: dict[int, str]) -> pa.Array:
    """The column with texts at some places, in its own type."""
    base = stored_type(kind)
    if len(texts) == len(column):
        values: list[Any] = [texts[at] for at in range(len(column))]
    else:
        values = column.to_pylist()
        for at, text in texts.items():
            values[at] = text
    if pa.types.is_binary(base) or pa.types.is_large_binary(base):
        values = [value.encode() if isinstance(value, str) else value for value in values]
    return restored(pa.array(values, base), kind)


# ---- JSON


def json_line(row: Mapping[str, Any], texts: Texts) -> str:
    """A row of `columns/json/` as the line that it was, with its text."""
    name, came, at = row["id"], row["text"], row["at"]
    if at is not None:
        changed = came is None or texts.settled or name in texts.changed
        literal = spelt(texts.of[name], bool(row["escaped"])) if changed else str(came)
        return in_a_line(with_text(row["object"], at, literal))
    return in_a_line(
        row["object"] if row["key"] is not None else with_key(row["object"], TEXT, spelt(texts.of[name], False))
    )


def with_key(text: str, key: str, value: str) -> str:
    """An object's text with a key set to a value that is JSON: in its place where it has the key, else as the last."""
    found = [member for member in members(text) if member.key == key]
    if found:
        return text[: found[-1].value] + value + text[found[-1].end :]
    body = text.rstrip().removesuffix("}").rstrip()
    return f"{body}{'' if body.endswith('{') else ', '}{json.dumps(key, ensure_ascii=False)}: {value}}}"


def only_keys(line: str, names: Collection[str]) -> str:
    """The object with these keys alone."""
    return selected(line, names, ()) if names else "{}"


def json_value(value: Any, kind: pa.DataType) -> Any:
    """A value of an Arrow column as JSON has it: dates and times in ISO 8601, decimals as strings that say all of their
    digits, bytes in base64, maps as objects, numbers that are none as null."""
    if isinstance(kind, pa.BaseExtensionType):
        return json_value(value, kind.storage_type)
    if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        return json_value(value, kind.value_type)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {one.name: json_value(value[one.name], one.type) for one in kind}
    if isinstance(value, list | tuple) and pa.types.is_map(kind):
        return {str(json_value(k, kind.key_type)): json_value(v, kind.item_type) for k, v in value}
    if isinstance(value, list | tuple) and is_list(kind):
        return [json_value(one, kind.value_type) for one in value]
    return value


def json_lines(batch: pa.RecordBatch) -> Iterator[str]:
    """Rows of Arrow as lines of JSON. Columns of one name are told apart."""
    names = batch.schema.names
    names = names if len({*names}) == len(names) else apart(names)
    columns = [_values(column) for column in batch.columns]
    for number in range(batch.num_rows):
        row = {name: values[number] for name, values in zip(names, columns, strict=True)}
        yield json.dumps(row, ensure_ascii=False, default=str)


def _values(column: pa.Array) -> list[Any]:
    """The values of a column as JSON has them."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return _nanoseconds(column)
    try:
        return [json_value(value, column.type) for value in column.to_pylist()]
    except (ValueError, OverflowError, ImportError, ArithmeticError):  # what Python has no value for: its text
        return column.cast(pa.string()).to_pylist()


def _nanoseconds(column: pa.Array) -> list[str | None]:
    """Times in ISO 8601 to the nanosecond, with pandas installed or not."""
    counts = column.cast(pa.int64()).to_pylist()
    whole = pa.array([None if one is None else one // 1000 for one in counts], pa.int64())
    found: list[str | None] = []
    for count, time in zip(counts, whole.cast(pa.timestamp("us", column.type.tz)).to_pylist(), strict=True):
        if count is None or not count % 1000:
            found.append(time and time.isoformat())
        else:
            text = time.isoformat(timespec="microseconds")
            place = text.index(".") + 7
            found.append(f"{text[:place]}{count % 1000:03d}{text[place:]}")
    return found


def json_schema(shapes: Mapping[str, KeyShape], lacking: bool) -> pa.Schema:
    """The Arrow schema of JSON rows: a column for each key, of the type that its values fit."""
    return schema_with_text(pa.schema([(name, shape.type) for name, shape in shapes.items()]), lacking)


def json_batch(
    rows: list[dict[str, Any]], schema: pa.Schema, shapes: Mapping[str, KeyShape], texts: Texts
) -> pa.RecordBatch:
    """Rows of `columns/json/` as Arrow."""
    made = []
    for row in rows:
        value = decoded(json_line(row, texts))
        held = {
            name: others(value, shapes) if shape.is_rest else shape.held(value.get(name))
            for name, shape in shapes.items()
        }
        made.append(held if TEXT in held or TEXT not in schema.names else held | {TEXT: value.get(TEXT)})
    return pa.RecordBatch.from_pylist(made, schema=schema)
