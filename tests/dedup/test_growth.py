"""A changed corpus: what is compared again, and that nothing differs from a comparison from scratch."""

import os
import random
from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup import verification
from gristmill.dedup.buckets import exact_stars, stars
from gristmill.dedup.growth import LEFT, among, by_handle, entries_among, to_stored, touched, untouched
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup import compare
from gristmill.pipelines.stages.dedup.stage import deduplicate

from .conftest import edited, files_of, name, prose, put_documents

# ---- the buckets of a few shards, by hand: a row is (text, keys of its buckets, exact key)

Row = tuple[int, list[int], int]
Shards = dict[str, list[Row]]


def found_in(shards: Shards, keys: np.ndarray | None, kept: pa.Table | None, left: np.ndarray):
    """Edges (`STORED`) and left-over keys of the buckets of these keys (None: of all), with what is kept of others."""
    names = sorted(shards, key=lambda shard: (shard.startswith("against:"), shard))
    numbers = {shard: number for number, shard in enumerate(names)}
    text = {(number << 32) + i: row[0] for shard, number in numbers.items() for i, row in enumerate(shards[shard])}
    rank = {(number << 32) + i: crc32(f"{shard} {i}".encode()) for shard, number in numbers.items() for i in range(9)}

    def entries(exact: bool):
        every = [
            (key, (numbers[shard] << 32) + i)
            for shard, rows in shards.items()
            for i, row in enumerate(rows)
            for key in ([row[2]] if exact else row[1])
        ]
        every.sort()
        key, handle = (np.array([entry[i] for entry in every], np.uint64) for i in range(2))
        chosen = np.arange(len(key)) if keys is None else entries_among(key, keys)
        return key[chosen], handle[chosen]

    def ranks(handles):
        return np.array([rank[h] for h in handles.tolist()], np.uint64)

    def foreign(handles):
        return np.array([names[h >> 32].startswith("against:") for h in handles.tolist()], bool)

    def verify(a, b):
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        return np.array([(text[x] * text[y] * 7919 % 10) / 9 for x, y in pairs], np.float64)

    near = stars(*entries(False), ranks, foreign, 0.6, 2, verify)
    key, handle = entries(True)
    bucket, a, b = exact_stars(key, key, handle, ranks, foreign)
    parts = [
        (np.zeros(len(near.a), np.uint8), near.key, near.a, near.b, near.similarity, near.similarity >= 0.6),
        (np.ones(len(a), np.uint8), bucket, a, b, np.ones(len(a)), np.ones(len(a), bool)),
    ]
    if kept is not None:
        columns = {column: kept[column].to_numpy() for column in ("kind", "key", "similarity", "joined")}
        parts.append((*list(columns.values())[:2], *by_handle(kept, numbers), *list(columns.values())[2:]))
    edges = to_stored(names, *(np.concatenate([part[i] for part in parts]) for i in range(6)))
    return pa.Table.from_batches([edges]), np.sort(np.concatenate([near.left, left]))


rows = st.lists(
    st.tuples(st.integers(0, 8), st.lists(st.integers(0, 4), unique=True, max_size=3), st.integers(20, 24)), max_size=5
)
corpora = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "against:1/e", "against:2/f"]), rows, max_size=6)


@settings(max_examples=300)
@given(corpora, corpora, st.sets(st.sampled_from(["a", "b", "c", "d", "against:1/e", "against:2/f"])))
def test_comparing_only_the_changed_buckets_finds_what_comparing_everything_finds(before, other, stay):
    after = {shard: rows for shard, rows in other.items() if shard not in stay}
    after |= {shard: rows for shard, rows in before.items() if shard in stay}
    none = np.zeros(0, np.uint64)
    edges, left = found_in(before, None, None, none)
    fresh = [shard for shard, rows in after.items() if before.get(shard) != rows]
    gone = {shard for shard, rows in before.items() if after.get(shard) != rows}
    came = [np.array([k for row in after[s] for k in (*row[1], row[2])], np.uint64) for s in fresh]
    keys = touched(came, [edges], left, gone)
    stays = untouched(pa.table([left], schema=LEFT), keys)["key"].to_numpy()
    found, left_over = found_in(after, keys, untouched(edges, keys), stays)
    expected, expected_left = found_in(after, None, None, none)
    assert found.to_pylist() == expected.to_pylist()
    assert left_over.tolist() == expected_left.tolist()


@given(st.lists(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_entries_are_picked_by_key(keys, wanted):
    key = np.array(sorted(keys), np.uint64)
    chosen = np.array(sorted(wanted), np.uint64)
    assert entries_among(key, chosen).tolist() == [i for i, k in enumerate(key.tolist()) if k in wanted]
    assert among(chosen, key).tolist() == [k in wanted for k in key.tolist()]


# ---- the stage

ALL = ("bands", "edges", "unexamined", "compared", "duplicates", "decisions/dedup")


def parts_of(seed: int, families: int, words: int = 120) -> dict[str, list[dict]]:
    """Three shards with edited and exact copies across them."""
    rng = random.Random(seed)
    parts: dict[str, list[dict]] = {f"part-{n}.parquet": [] for n in range(3)}
    for family in range(families):
        text = prose(words, rng)
        for n, part in enumerate(parts.values()):
            copy = text if family % 2 and n else edited(text, 0.01 * n, rng)
            part.append({"id": name(f"{seed} {family} {n}"), "text": copy})
    return parts


@pytest.fixture
def compared(monkeypatch):
    """How many pairs were verified since it was last asked."""
    pairs = [0]
    similarity = compare.similarity

    def counting(store, a, b, measure):
        pairs[0] += len(a)
        return similarity(store, a, b, measure)

    monkeypatch.setattr(compare, "similarity", counting)

    def since() -> int:
        found, pairs[0] = pairs[0], 0
        return found

    return since


def run(workspace: Workspace, **given):
    return deduplicate(workspace, DedupSettings(threshold=0.7, **given), RunnerOptions(), quiet=True)


@pytest.mark.parametrize(
    ("partitions", "taken"), [pytest.param(1_000_000, (0, 1, 2, 4), marks=pytest.mark.slow), (60, (0, 2))]
)
def test_a_workspace_that_grows_shrinks_and_changes_is_the_one_made_from_scratch(
    tmp_path, monkeypatch, compared, partitions, taken
):
    monkeypatch.setattr(compare, "ENTRIES", partitions)
    parts = parts_of(1, 6)
    more = {"part-05.parquet": [{**parts["part-1.parquet"][0], "id": name("new")}, {"id": name("x"), "text": "alone"}]}
    changed = {"part-1.parquet": [*parts["part-1.parquet"][2:], {"id": name("y"), "text": prose(50, random.Random(9))}]}
    steps = [parts, parts | more, parts | more | changed, parts | changed, {**parts, "part-2.parquet": []}]
    grown = Workspace(str(tmp_path / "grown"))
    for number in taken:
        step = {part: [] for part in ("part-05.parquet",) if number} | steps[number]
        put_documents(grown, step)
        run(grown)
        pairs = compared()
        if number:
            whole = Workspace(str(tmp_path / f"whole{number}"))
            put_documents(whole, step)
            run(whole)
            assert files_of(grown, *ALL) == files_of(whole, *ALL)
            assert pairs < compared() or number > 1


def test_a_shard_without_old_duplicates_has_nothing_compared_again(tmp_path, monkeypatch, compared):
    workspace = Workspace(str(tmp_path / "w"))
    put_documents(workspace, parts_of(1, 5))
    run(workspace)
    assert compared() > 5
    put_documents(workspace, {"part-9.parquet": [{"id": name("x"), "text": prose(100, random.Random(5))}]})
    for shard in workspace.table("documents").finished("test").shards:
        if shard.name != "part-9.parquet":
            os.remove(workspace.table("documents").file_url(shard))  # nor is any old text read
    monkeypatch.setattr("gristmill.pipelines.engine.stage.refresh_catalog", lambda workspace: None)
    held = workspace.table("decisions/dedup").finished("test").shards
    written = [os.stat(workspace.table("decisions/dedup").file_url(shard)).st_mtime_ns for shard in held]
    run(workspace)
    assert [os.stat(workspace.table("decisions/dedup").file_url(shard)).st_mtime_ns for shard in held] == written
    assert compared() == 0


def test_of_the_shingles_of_all_shards_only_those_that_are_compared_are_opened(tmp_path, monkeypatch):
    """Opening reads a file through, and growth would read the whole corpus."""
    opened = []
    for number in range(3):
        hashes = pa.array([[number, 9], [5]], pa.large_list(pa.uint64()))
        batch = pa.record_batch([pa.array([1, 2], pa.uint64()), hashes], schema=verification.SHINGLES)
        with pa.ipc.new_file(str(tmp_path / f"{number}.arrow"), verification.SHINGLES) as out:
            out.write_batch(batch)
    own = verification._open.__wrapped__
    monkeypatch.setattr(verification, "_open", lambda url: opened.append(url) or own(url))
    store = verification.ShingleStore([str(tmp_path / f"{number}.arrow") for number in range(3)])
    a, b = np.array([1 << 32], np.uint64), np.array([(1 << 32) + 1], np.uint64)
    assert store.ranks(np.r_[a, b]).tolist() == [1, 2]
    assert verification.similarity(store, a, b).tolist() == [0.0]
    assert set(opened) == {str(tmp_path / "1.arrow")}
