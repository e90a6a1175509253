"""The ledger: which files are new, which are known, which replaced another, and what shards become of them."""

import builtins
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.planning import growth
from gristmill.corpus.planning.growth import extend, without
from gristmill.corpus.planning.ledger import Ledger, ledger_bytes, read_ledger, write_ledger
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.planned import planned
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.extract.taken import advice, taken

from .crawl import PROSE, jsonl


def old(path: Path) -> None:
    """Date a file back, so that its times may be relied on."""
    os.utime(path, (1_700_000_000.5, 1_700_000_000.5))


# ---- names


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("in", "a/b.jsonl"),
        ("in/a", "b.jsonl"),
        ("in/a/b.jsonl", "b.jsonl"),
        ("in/*/*.jsonl", "a/b.jsonl"),
        ("in/a/b*", "b.jsonl"),
        ("in/near.paths", "a/b.jsonl"),
        ("in/far.paths", "b.jsonl"),
    ],
)
def test_a_document_tells_the_path_below_what_was_named(tmp_path: Path, named: str, path: str):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    if named.endswith(".paths"):
        entry = "a/b.jsonl" if "near" in named else str(tmp_path / "in" / "a" / "b.jsonl")
        (tmp_path / named).write_text(entry + "\n")
    (found,) = [one for one in resolve((Input(paths=(str(tmp_path / named),)),)) if one.place.endswith(".jsonl")]
    assert (found.path, found.place) == (path, str(tmp_path / "in" / "a" / "b.jsonl"))


def test_a_place_in_a_snapshot_of_common_crawl_is_told_from_the_snapshot_on(tmp_path: Path):
    folder = tmp_path / "CC-MAIN-2024-51" / "segments"
    folder.mkdir(parents=True)
    (folder / "a.warc").write_text("x")
    for named in (folder, folder / "a.warc", tmp_path, tmp_path / "CC-MAIN-2024-51" / "*" / "a.warc"):
        (found,) = resolve((Input(paths=(str(named),)),))
        assert found.path == "CC-MAIN-2024-51/segments/a.warc"


# ---- what is known


def test_a_file_with_a_line_edited_replaces_its_earlier_version(extract, tmp_path: Path):
    path, beside = tmp_path / "news.jsonl", tmp_path / "more.jsonl"
    rows = [{"text": f"{PROSE} {n}"} for n in range(5)]
    path.write_bytes(jsonl(rows))
    beside.write_bytes(jsonl([{"text": f"{PROSE} beside"}]))
    first = extract(path, beside)
    rows[2] = {"text": f"{PROSE} edited"}
    path.write_bytes(jsonl(rows))
    given_inputs = (Input(paths=(str(path),), source="test"),)
    (one,) = taken(first.workspace, planned(first.workspace, ExtractSettings(inputs=given_inputs)))
    assert "1 in place of an earlier version (news.jsonl has other bytes now" in one.line()
    again = extract(path)
    assert sorted(again.texts) == sorted([row["text"] for row in rows] + [f"{PROSE} beside"])
    assert extract(path, beside).summary["skipped"]


def test_both_versions_stay_on_request_and_the_kept_one_for_good(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    for number in range(3):
        path.write_bytes(jsonl([{"text": f"{PROSE} {number}"}]))
        done = extract(path, keep_versions=number == 1)
    assert sorted(done.texts) == [f"{PROSE} 0", f"{PROSE} 2"]


def test_a_large_file_changed_in_its_middle_replaces_its_earlier_version(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"{PROSE} {n:06d}"} for n in range(1500)]
    path.write_bytes(jsonl(rows))
    assert path.stat().st_size > 2 * growth.EDGE
    extract(path)
    rows[750] = {"text": f"{PROSE} edited"}
    path.write_bytes(jsonl(rows))
    done = extract(path)
    assert sorted(done.texts) == sorted(row["text"] for row in rows)
    old(path)  # another time, the same bytes
    assert extract(path).summary["skipped"]


def test_what_was_there_and_cannot_be_read_now_stays_as_it_was(extract, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    before = extract(folder).rows()
    (folder / "a.jsonl").unlink()
    (folder / "a.jsonl").symlink_to(tmp_path / "nowhere")
    assert extract(folder).rows() == before


def test_a_moved_file_is_the_same_file_and_is_known_at_its_new_place(extract, tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    extract(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert extract(tmp_path / "two").summary["skipped"]
    (tmp_path / "two" / "a.jsonl").write_bytes(jsonl([{"text": f"{PROSE} changed"}]))
    assert extract(tmp_path / "two").texts == [f"{PROSE} changed"]


def test_a_copy_elsewhere_leaves_the_original_in_force_when_it_changes(extract, tmp_path: Path):
    for name in ("january", "february"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "news.jsonl").write_bytes(jsonl([{"text": PROSE}]))
        assert extract(tmp_path / name).texts == [PROSE]
    (tmp_path / "february" / "news.jsonl").write_bytes(jsonl([{"text": f"{PROSE} later"}]))
    assert sorted(extract(tmp_path / "february").texts) == [PROSE, f"{PROSE} later"]


def test_a_folder_moved_with_its_workspace_is_known_though_a_file_changed(tmp_path: Path):
    def call(home: Path) -> dict:
        given_settings = ExtractSettings(inputs=(Input(paths=(str(home / "in"),)),))
        return run_extract(Workspace(str(home / "w")), given_settings, RunnerOptions(), quiet=True)

    home, moved = tmp_path / "here", tmp_path / "far" / "there"
    (home / "in").mkdir(parents=True)
    for name in ("a", "b"):
        (home / "in" / f"{name}.jsonl").write_bytes(jsonl([{"text": f"{PROSE} {name}"}]))
    call(home)
    moved.parent.mkdir()
    home.rename(moved)
    (moved / "in" / "a.jsonl").write_bytes(jsonl([{"text": f"{PROSE} edited"}]))
    call(moved)
    texts = [row["text"] for b in Workspace(str(moved / "w")).table("documents").read() for row in b.to_pylist()]
    assert sorted(texts) == [f"{PROSE} b", f"{PROSE} edited"]
    assert call(moved)["skipped"]


def test_files_that_are_known_are_not_opened_again(extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [tmp_path / f"{n}.jsonl" for n in range(4)]
    for path in paths:
        path.write_bytes(jsonl([{"text": f"{PROSE} {path.name}"}]))
        old(path)
    extract(*paths[:3])
    opened: list[str] = []
    real = builtins.open

    def counting(file, *more, **named):
        opened.append(str(file))
        return real(file, *more, **named)

    monkeypatch.setattr(builtins, "open", counting)
    monkeypatch.setattr("fsspec.implementations.local.open", counting, raising=False)
    extract(*paths)
    assert not [path for path in opened if path in {str(p) for p in paths[:3]}]
    assert str(paths[3]) in opened


def test_a_refused_call_leaves_the_ledger_as_it_was(extract, tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_text(f"<html><body><p>{PROSE}</p></body></html>")
    space = extract(path).workspace
    before = ledger_bytes(space, read_ledger(space))
    path.write_text(f"<html><body><p>{PROSE} changed</p></body></html>")
    with pytest.raises(RequestError, match="engine"):
        extract(path, engine="raw")
    assert ledger_bytes(space, read_ledger(space)) == before


def test_a_lost_ledger_is_read_back_from_the_account_of_the_inputs(extract, tmp_path: Path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(jsonl([{"text": PROSE}]))
    second.write_bytes(jsonl([{"text": f"{PROSE} second"}]))
    space = extract(first).workspace
    os.remove(space.path("plans", "extract.json"))
    assert extract(first).summary["skipped"]
    os.remove(space.path("plans", "extract.json"))
    assert len(extract(second).rows()) == 2
    Path(space.path("plans", "extract.json")).write_text("[")
    with pytest.raises(WorkspaceError, match="damaged or of an earlier version"):
        extract(second)


# ---- shards


@pytest.mark.parametrize("named", ["folder", "glob", "list", "one by one"])
def test_small_files_share_shards_whatever_way_they_are_named(extract, tmp_path: Path, named: str):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(30):
        (folder / f"{n}.html").write_text(f"<html><body><p>{PROSE} {n}</p></body></html>")
    (folder / "all.paths").write_text("".join(f"{n}.html\n" for n in range(30)))
    ways = {
        "folder": (Input(paths=(str(folder),)),),
        "glob": (Input(paths=(f"{folder}/*.html",)),),
        "list": (Input(paths=(f"{folder}/all.paths",)),),
        "one by one": (Input(paths=tuple(f"{folder}/{n}.html" for n in range(30))),),
    }
    if named == "folder":
        (folder / "all.paths").unlink()
    done = extract(inputs=ways[named])
    assert len(done.rows()) == 30
    assert len(done.workspace.table("documents").finished("test").shards) == 1


def test_a_shard_holds_pieces_of_several_sources_and_domains(extract, tmp_path: Path):
    given_inputs = []
    for name in ("law", "books"):
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl([{"text": f"{PROSE} {name}"}]))
        given_inputs.append(Input(paths=(str(tmp_path / f"{name}.jsonl"),), domain=f"{name}s"))
    done = extract(inputs=tuple(given_inputs))
    assert sorted((r["source"], r["domain"]) for r in done.rows()) == [("books", "bookss"), ("law", "laws")]
    assert len(done.workspace.table("documents").finished("test").shards) == 1


def test_more_than_a_hundred_sources_are_told_how_to_be_named(tmp_path: Path):
    paths = []
    for n in range(101):
        paths.append(tmp_path / f"{n}.txt")
        paths[-1].write_text("text")
    space = Workspace(str(tmp_path / "w"))
    for count, lines in ((101, 1), (100, 0)):
        asked = planned(space, ExtractSettings(inputs=(Input(paths=tuple(map(str, paths[:count]))),)))
        assert len(advice(asked)) == lines
    assert "--source NAME" in advice(planned(space, ExtractSettings(inputs=(Input(paths=tuple(map(str, paths))),))))[0]


CONTENTS = st.lists(st.integers(0, 3), min_size=1, max_size=5)


@given(CONTENTS, st.lists(st.integers(0, 3), max_size=5), st.integers(400, 5000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_after_changes_holds_each_content_of_now_once(
    tmp_path: Path, first: list[int], then: list[int], shard_bytes: int
):
    """Whatever changes under its name: the pieces in the ledger are those of a ledger made from the files of now."""
    space = Workspace(str(tmp_path / "w"))
    ledger = Ledger()
    for contents in (first, then):
        for n, content in enumerate(contents):
            (tmp_path / f"{n}.txt").write_text(f"{content} " * 200)
        there = [Input(paths=(str(tmp_path / f"{n}.txt"),), source="s") for n in range(max(len(first), len(then)))]
        there = [one for one in there if os.path.exists(one.paths[0])]
        ledger = extend(space, ledger, resolve(tuple(there)), shard_bytes).ledger
        write_ledger(space, ledger)
        assert read_ledger(space) == ledger
    fresh = extend(space, Ledger(), resolve(tuple(there)), shard_bytes).ledger
    pieces = lambda of: sorted((p.file, p.start, p.end) for lot in of.lots for p in lot.pieces)  # noqa: E731
    assert pieces(ledger) == pieces(fresh)
    assert sorted(f.place for f in ledger.files) == sorted(f.place for f in fresh.files)
    for n in range(5):
        (tmp_path / f"{n}.txt").unlink(missing_ok=True)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=6), st.integers(0, 5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_ledger_without_a_file_has_the_ids_of_one_that_never_had_it(
    tmp_path: Path, files: list[tuple[int, int]], which: int
):
    """(content, source) of each file; files of equal bytes take over what was made of one that goes."""
    space = Workspace(str(tmp_path / "w"))
    sources = []
    for n, (content, source) in enumerate(files):
        (tmp_path / f"{n}.txt").write_text(f"{content} " * 50)
        sources += resolve((Input(paths=(str(tmp_path / f"{n}.txt"),), source=f"s{source}"),))
    whole = extend(space, Ledger(), sources, 1 << 20).ledger
    lost = sources[which % len(sources)]
    left, heirs = without(whole, {f for f in whole.files if f.place == lost.place}, {lot.name for lot in whole.lots})
    assert not heirs
    fresh = extend(space, Ledger(), [source for source in sources if source is not lost], 1 << 20).ledger
    assert {f.file for f in left.files} == {f.file for f in fresh.files}
    assert len(left.taken()) == len({p.file for lot in left.lots for p in lot.pieces})
    for n in range(len(files)):
        (tmp_path / f"{n}.txt").unlink()
