"""Compressions as people use them: long windows, frames without content, several members, wrong suffixes and bombs."""

import bz2
import gzip
import json
import lzma
import random
import tracemalloc
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.planning.ledger import Piece
from gristmill.corpus.readers.records import Raw, Reading, read_piece

PACKS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "zstd with a checksum": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd of unknown size": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
    "lz4": lz4.frame.compress,
    "lz4 in linked blocks": lambda data: lz4.frame.compress(data, block_linked=True, content_checksum=True),
}
SUFFIXES = ("", ".gz", ".zst", ".bz2", ".xz", ".lz4")


def read(path: Path, data: bytes, limit: int = 1 << 20, kind: str = "jsonl") -> list[Raw]:
    path.write_bytes(data)
    return list(read_piece(Piece(str(path), path.name, file="f", format=kind), Reading(limit)))


def row(text: str) -> bytes:
    return json.dumps({"text": text}).encode() + b"\n"


def skippable(draw: random.Random) -> bytes:
    """A frame without content, as seek tables and writers' notes are."""
    size = draw.choice([0, 1, 9, 300_000])
    return bytes([0x50 + draw.randrange(16)]) + b"\x2a\x4d\x18" + size.to_bytes(4, "little") + draw.randbytes(size)


@given(st.sampled_from(sorted(PACKS)), st.sampled_from(SUFFIXES), st.integers(0, 10**6))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_members_and_frames_of_every_kind_are_one_file_whatever_its_suffix(
    tmp_path: Path, pack: str, suffix: str, seed: int
):
    draw = random.Random(seed)
    texts = [f"row {n} " * draw.randrange(1, 400) for n in range(8)]
    data = b"".join(map(row, texts))
    cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(4)))
    frames = [PACKS[pack](data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    between = skippable if pack.startswith(("zstd", "lz4")) else lambda draw: b""
    packed = b"".join(b"".join(between(draw) for _ in range(draw.randrange(3))) + frame for frame in frames)
    packed += between(draw) + (bytes(4 * draw.randrange(3)) if pack in ("gzip", "xz") else b"")
    found = read(tmp_path / f"a.jsonl{suffix}", packed)
    assert [one.error for one in found if one.error] == []
    assert [one.body for one in found] == texts
    (tmp_path / f"a.jsonl{suffix}").unlink()


def long_frame(log: int, data: bytes) -> bytes:
    """A frame of zstd that declares a window of 2**log bytes, its content in one block as it is."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([(log - 10) << 3]) + (len(data) << 3 | 1).to_bytes(3, "little") + data


@pytest.mark.parametrize("log", [20, 27, 28, 30, 31])
def test_windows_of_up_to_two_gibibytes_are_read(tmp_path: Path, log: int):
    (found,) = read(tmp_path / "a.jsonl.zst", long_frame(log, row("text")))
    assert found.body == "text"


@pytest.mark.parametrize("log", [32, 36, 41])
def test_a_larger_window_is_told_with_the_limit_and_costs_its_frame_alone(tmp_path: Path, log: int):
    data = zstandard.compress(row("before")) + long_frame(log, row("text")) + zstandard.compress(row("after"))
    found = read(tmp_path / "a.jsonl.zst", data)
    assert [one.body for one in found if not one.error] == ["before", "after"]
    (error,) = [one.error for one in found if one.error]
    assert "asks for more than 2 GiB of memory: compress it with a smaller window" in str(error)


@pytest.mark.parametrize("pack", sorted(PACKS))
@pytest.mark.parametrize("kind", ["jsonl", "warc"])
def test_a_bomb_is_read_in_bounded_memory_and_told(tmp_path: Path, pack: str, kind: str):
    bomb = PACKS[pack](bytes(32 << 20))
    (tmp_path / "a").write_bytes(bomb)
    tracemalloc.start()
    found = list(read_piece(Piece(str(tmp_path / "a"), "a", file="f", format=kind), Reading(1 << 20)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one for one in found if not one.error] == []
    assert found
    assert peak < 24 << 20


@pytest.mark.parametrize("pack", sorted(PACKS))
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_cut_short_or_damaged_is_told_and_its_rows_are_the_files_own(
    tmp_path: Path, pack: str, seed: int
):
    draw = random.Random(seed)
    texts = [f"row {n} {draw.randbytes(60).hex()}" for n in range(40)]
    packed = PACKS[pack](b"".join(map(row, texts)))
    at = draw.randrange(1, len(packed))
    packed = packed[:at] if draw.random() < 0.5 else packed[:at] + draw.randbytes(20) + packed[at + 20 :]
    found = read(tmp_path / "a.jsonl", packed)
    whole = [one.body for one in found if not one.error]
    if "checksum" in pack or pack in ("gzip", "bzip2", "xz") or len(packed) == at:
        assert [one for one in whole if one not in texts] == []
    assert len(whole) == len(texts) or any(one.error for one in found)


@pytest.mark.parametrize("packed", [True, False])
def test_frames_are_read_by_the_dictionary_that_their_file_begins_with(tmp_path: Path, packed: bool):
    rows = [row(f"The ferry left harbour {n} before the lamps were lit.") for n in range(400)]
    dictionary = zstandard.train_dictionary(2000, rows)
    pack = zstandard.ZstdCompressor(dict_data=dictionary)
    frames = [pack.compress(one) for one in rows[:50]]
    data = dictionary.as_bytes()
    data = zstandard.compress(data) if packed else data
    head = b"\x5d\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data
    assert [raw.error for raw in read(tmp_path / "a.zst", head + b"".join(frames))] == [None] * 50
    frames[20] = frames[20][:-9] + bytes(9)
    found = read(tmp_path / "b.zst", head + b"".join(frames))
    assert sum(raw.error is None for raw in found) == 49
    assert sum(raw.error is not None for raw in found) == 1
    for lost in (b"", head[:8] + b"\0" * len(data)):  # no dictionary, another one
        told = [raw.error for raw in read(tmp_path / "c.zst", lost + b"".join(frames))]
        assert told
        assert all(told)
