import os

import pyarrow as pa
import pytest

from gristmill.corpus.store.shards import checksum, committed, fingerprint, open_shard, read_batches, replacing

ROWS = pa.schema([("id", pa.string()), ("text", pa.string())])


def write(url: str, rows: list[dict], stamp: str = "s") -> None:
    with open_shard(url, ROWS, stamp) as out:
        out.write_rows(rows)
        out.counts["in"] = len(rows)


def test_a_shard_is_recognised_by_its_stamp_and_by_no_other(tmp_path):
    url = f"{tmp_path}/t/a.parquet"
    write(url, [{"id": "1", "text": "x"}])
    shard = committed(url, "s")
    assert shard is not None
    assert (shard.name, shard.rows, dict(shard.counts)) == ("a.parquet", 1, {"in": 1})
    assert shard.checksum == checksum(url)
    assert committed(url, "other") is None
    assert committed(f"{tmp_path}/t/b.parquet", "s") is None


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [{"id": str(n), "text": "word " * n} for n in range(500)]
    write(f"{tmp_path}/a.parquet", rows)
    write(f"{tmp_path}/b.parquet", rows)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_exception_leaves_neither_a_shard_nor_a_temporary(tmp_path):
    def fail() -> None:
        with open_shard(f"{tmp_path}/a.parquet", ROWS, "s") as out:
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
    url = "memory://shards/a.parquet"
    write(url, [{"id": "1", "text": "x"}, {"id": "2", "text": None}])
    shard = committed(url, "s")
    assert shard is not None
    assert shard.rows == 2
    assert [row["id"] for batch in read_batches(url, ["id"]) for row in batch.to_pylist()] == ["1", "2"]


def test_large_texts_are_cut_into_row_groups_by_bytes(tmp_path):
    write(f"{tmp_path}/a.parquet", [{"id": str(n), "text": "x" * (6 << 20)} for n in range(6)])
    sizes = [batch.num_rows for batch in read_batches(f"{tmp_path}/a.parquet")]
    assert sum(sizes) == 6
    assert pa.parquet.read_metadata(tmp_path / "a.parquet").num_row_groups == 2


def test_fingerprints_depend_on_values_and_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
