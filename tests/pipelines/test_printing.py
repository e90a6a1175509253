"""Tables of text for a terminal."""

import pyarrow as pa

from gristmill.pipelines.printing import as_table


def test_columns_of_one_name_are_both_shown():
    table = pa.Table.from_arrays([pa.array(["org"]), pa.array([3])], names=["suffix", "suffix"])
    assert as_table(table).splitlines() == ["suffix  suffix", "------  ------", "org          3", "(1 row)"]


def test_a_table_without_rows_has_its_names():
    assert as_table(pa.table({"a": pa.array([], pa.int64())})).splitlines()[0] == "a"
