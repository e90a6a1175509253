"""Arrow columns of any type as Parquet holds them, and back to the very type; what Parquet changes is stored otherwise.

Most types come back from Parquet as they went in, by the Arrow schema in its footer. Not these: seconds
become milliseconds, dates of 64 bits dates of 32, null lists of a fixed size fail, dictionaries outgrow their index,
and unions, intervals, run ends and structs without a field are refused. Their rows are stored as numbers, lists, plain
values or, where nothing else is left, as bytes of Arrow IPC; `restored` makes the column that it was.
"""

import numpy as np
import pyarrow as pa

from .. import arrow_functions as pc

is_type = pa.types


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column of this type is stored as."""
    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(kind.storage_type)
    if is_type.is_dictionary(kind) or is_type.is_run_end_encoded(kind):
        return stored_type(kind.value_type)
    if is_type.is_timestamp(kind) and kind.unit == "s":
        return pa.int64()
    if is_type.is_date64(kind):
        return pa.int64()
    if is_type.is_time32(kind) and kind.unit == "s":
        return pa.time32("ms")
    if is_type.is_string_view(kind) or is_type.is_binary_view(kind):
        return pa.large_string() if is_type.is_string_view(kind) else pa.large_binary()
    if is_type.is_struct(kind) and kind.num_fields:
        names = apart([field.name for field in kind])
        return pa.struct([(name, stored_type(field.type)) for name, field in zip(names, kind, strict=True)])
    if is_type.is_map(kind):
        return pa.map_(stored_type(kind.key_type), stored_type(kind.item_type))
    if is_list(kind) and not _is_empty_list(kind):
        large = is_type.is_large_list(kind) or is_type.is_large_list_view(kind)
        return (pa.large_list if large else pa.list_)(stored_type(kind.value_type))
    return kind if is_plain(kind) else pa.binary()


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list of any of Arrow's kinds."""
    tests = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(is_type, f"is_{name}")(kind) for name in tests)


def _is_empty_list(kind: pa.DataType) -> bool:
    return is_type.is_fixed_size_list(kind) and kind.list_size == 0


PLAIN = (
    "null boolean integer floating decimal string large_string binary large_binary "
    "fixed_size_binary date32 timestamp time duration"
).split()


def is_plain(kind: pa.DataType) -> bool:
    """Whether Parquet gives a column of this type back as it is."""
    known = any(getattr(is_type, f"is_{name}")(kind) for name in PLAIN if hasattr(is_type, f"is_{name}"))
    return known and not (is_type.is_fixed_size_binary(kind) and kind.byte_width == 0)


def apart(names: list[str]) -> list[str]:
    """Names told apart, whatever their case: SQL knows no other; an empty one is `_`."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        chosen, number = name or "_", 1
        while chosen.lower() in taken:
            number += 1
            chosen = f"{name or '_'}_{number}"
        taken.add(chosen.lower())
        found.append(chosen)
    return found


def stored(column: pa.Array) -> pa.Array:
    """A column in the type that `stored_type` says."""
    kind = column.type
    target = stored_type(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return stored(column.storage)
    if is_type.is_dictionary(kind):
        return stored(column.dictionary_decode())
    if is_type.is_run_end_encoded(kind):
        return stored(pc.run_end_decode(column))
    if target == kind:
        return column
    if is_type.is_struct(kind) and kind.num_fields:
        children = [stored(child) for child in column.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=column.is_null())
    if is_type.is_map(kind):
        entries = _entries(column)
        keys, items = (stored(child) for child in entries.flatten())
        return pa.MapArray.from_arrays(_offsets(_lengths(column), np.int32), keys, items, mask=column.is_null())
    if is_list(kind) and not _is_empty_list(kind):
        large = is_type.is_large_list(target)
        offsets = _offsets(_lengths(column), np.int64 if large else np.int32)
        make = pa.LargeListArray if large else pa.ListArray
        return make.from_arrays(offsets, stored(_flat(column)), type=target, mask=column.is_null())
    if target == pa.binary():
        return _opaque(column)
    return column.cast(target)


def restored(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column of a type that `stored` was given; `column` as it was read from Parquet."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, restored(column, kind.storage_type))
    if is_type.is_dictionary(kind):
        return _encoded(restored(column, kind.value_type), kind)
    if is_type.is_run_end_encoded(kind):
        return pc.run_end_encode(restored(column, kind.value_type), run_end_type=kind.run_end_type)
    if column.type == kind:
        return column
    if is_type.is_struct(kind) and kind.num_fields:
        parts = zip(column.flatten(), kind, strict=True)
        children = [restored(child, field.type) for child, field in parts]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=column.is_null())
    if is_type.is_map(kind):
        keys, items = _entries(column).flatten()
        offsets = _offsets(_lengths(column), np.int32)
        keys, items = restored(keys, kind.key_type), restored(items, kind.item_type)
        return pa.MapArray.from_arrays(offsets, keys, items, type=kind, mask=column.is_null())
    if is_list(kind) and not _is_empty_list(kind):
        return _listed(column, kind)
    if stored_type(kind) == pa.binary():
        return _unveiled(column, kind)
    return column.cast(kind)


def _flat(column: pa.Array) -> pa.Array:
    """The elements of lists, without those of null ones."""
    return column.flatten()


def _entries(column: pa.Array) -> pa.Array:
    """The entries of maps, as structs of key and item, without those of null ones."""
    entries = pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])  # those of all the buffer
    mask = column.is_null() if column.null_count else None
    return pa.ListArray.from_arrays(_plain_offsets(column), entries, mask=mask).flatten()


def _plain_offsets(column: pa.Array) -> pa.Array:
    """The offsets of maps, in a buffer of their own: a mask goes with no slice."""
    return pa.array(column.offsets.to_numpy(zero_copy_only=False))


def _lengths(column: pa.Array) -> np.ndarray:
    """Elements of each list or map; 0 where it is null."""
    kind = column.type
    if is_type.is_map(kind):
        ends = column.offsets.to_numpy(zero_copy_only=False)
        lengths = np.diff(ends)
        return np.where(column.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    return pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)


def _offsets(lengths: np.ndarray, kind: type) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(kind))


def _listed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists as lists of another kind."""
    null, lengths = column.is_null(), _lengths(column)
    if is_type.is_fixed_size_list(kind):
        held = np.repeat(~null.to_numpy(zero_copy_only=False), kind.list_size)
        places = np.cumsum(held) - 1
        filled = restored(_flat(column).take(pa.array(places, pa.int64(), mask=~held)), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(filled, type=kind, mask=null)
    values = restored(_flat(column), kind.value_type)
    large = is_type.is_large_list(kind) or is_type.is_large_list_view(kind)
    width = np.int64 if large else np.int32
    offsets = _offsets(lengths, width)
    if is_type.is_list_view(kind) or is_type.is_large_list_view(kind):
        make = pa.LargeListViewArray if large else pa.ListViewArray
        return make.from_arrays(offsets[:-1], pa.array(lengths.astype(width)), values, type=kind, mask=null)
    make = pa.LargeListArray if large else pa.ListArray
    return make.from_arrays(offsets, values, type=kind, mask=null)


def _encoded(values: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    """Values as a dictionary column of this very type."""
    if is_type.is_null(values.type):
        return pa.array([None] * len(values), kind)
    coded = values.dictionary_encode()
    indices = coded.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, coded.dictionary, ordered=kind.ordered)


def _opaque(column: pa.Array) -> pa.Array:
    """Each value as a record batch of Arrow IPC; null stays null."""
    made: list[bytes | None] = []
    for place in range(len(column)):
        one = column[place : place + 1]
        if not is_type.is_union(column.type) and one.null_count:
            made.append(None)
            continue
        whole = pa.concat_arrays([one])  # a slice would carry its neighbours
        made.append(pa.RecordBatch.from_arrays([whole], ["value"]).serialize().to_pybytes())
    return pa.array(made, pa.binary())


def _unveiled(column: pa.Array, kind: pa.DataType) -> pa.Array:
    schema = pa.schema([pa.field("value", kind)])
    parts = [
        pa.nulls(1, kind) if value is None else pa.ipc.read_record_batch(pa.py_buffer(value), schema).column(0)
        for value in column.to_pylist()
    ]
    return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)
