import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.sql import read_files
from gristmill.corpus.store.shards import Shard, checksum, fingerprint, open_shard, read_batches, replacing

ROWS = pa.schema([("id", pa.string()), ("text", pa.string())])


def write(folder: str, name: str, rows: list[dict]) -> Shard:
    with open_shard(folder, name, ROWS) as out:
        out.write_rows(rows)
        out.counts["in"] = len(rows)
    return out.shard


def test_a_shard_tells_what_it_is_and_its_name_bears_its_checksum(tmp_path):
    shard = write(f"{tmp_path}/t", "a.parquet", [{"id": "1", "text": "x"}])
    assert (shard.name, shard.rows, dict(shard.counts)) == ("a.parquet", 1, {"in": 1})
    assert shard.file == f"a.{shard.checksum[:16]}.parquet"
    assert shard.checksum == checksum(f"{tmp_path}/t/{shard.file}")
    assert os.listdir(tmp_path / "t") == [shard.file]


def test_the_same_rows_give_the_same_file_and_others_another(tmp_path):
    rows = [{"id": str(n), "text": "word " * n} for n in range(500)]
    first, again = write(f"{tmp_path}/a", "x.parquet", rows), write(f"{tmp_path}/b", "x.parquet", rows)
    assert first == again
    assert (tmp_path / "a" / first.file).read_bytes() == (tmp_path / "b" / again.file).read_bytes()
    assert write(f"{tmp_path}/b", "x.parquet", rows[1:]).content != first.content


def test_columns_of_other_names_are_other_content(tmp_path):
    contents = set()
    for column in ("text", "words"):
        schema = pa.schema([("id", pa.string()), (column, pa.string())])
        with open_shard(str(tmp_path), "a.parquet", schema) as out:
            out.write_rows([{"id": "1", column: "x"}])
        contents.add(out.shard.content)
    assert len(contents) == 2


def test_an_exception_leaves_neither_a_shard_nor_a_temporary(tmp_path):
    def fail() -> None:
        with open_shard(str(tmp_path), "a.parquet", ROWS) as out:
            out.write_rows([{"id": "1", "text": "x"}])
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_replaced_file_keeps_its_old_content_until_the_end(tmp_path):
    place = tmp_path / "f"
    place.write_text("old")
    with replacing(str(place)) as scratch:
        with open(scratch, "w") as file:
            file.write("new")
        assert place.read_text() == "old"
    assert place.read_text() == "new"


def test_shards_work_on_a_file_system_without_rename():
    shard = write("memory://shards", "a.parquet", [{"id": "1", "text": "x"}, {"id": "2", "text": None}])
    assert shard.rows == 2
    rows = [row["id"] for b in read_batches(f"memory://shards/{shard.file}", ["id"]) for row in b.to_pylist()]
    assert rows == ["1", "2"]


def test_large_texts_are_cut_into_row_groups_by_bytes(tmp_path):
    shard = write(str(tmp_path), "a.parquet", [{"id": str(n), "text": "x" * (6 << 20)} for n in range(6)])
    assert sum(batch.num_rows for batch in read_batches(f"{tmp_path}/{shard.file}")) == 6
    assert pa.parquet.read_metadata(tmp_path / shard.file).num_row_groups == 2


def test_fingerprints_depend_on_values_and_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


@pytest.mark.parametrize("name", ["run*", "what?", "a[b]c", "k=v", "it's"])
def test_the_name_of_a_workspace_is_no_pattern(tmp_path: Path, name: str):
    for folder in ("run1", "whats", "abc", name):
        (tmp_path / folder).mkdir(exist_ok=True)
        pq.write_table(pa.table({"x": [folder]}), tmp_path / folder / "a.parquet")
    files = read_files([str(tmp_path / name / "a.parquet")])
    assert duckdb.sql(f"select * from {files}").fetchall() == [(name,)]
