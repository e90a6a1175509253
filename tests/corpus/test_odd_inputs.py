"""Names, links, repeats and places of inputs, and what a call of extract says of them."""

import os
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.planning.growth import extend
from gristmill.corpus.planning.ledger import Ledger, Piece
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.readers.records import Reading, read_piece
from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.shards import spelled, unspelled
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import refusal_in
from gristmill.pipelines.stages.extract.planned import planned
from gristmill.pipelines.stages.extract.stage import ExtractSettings
from gristmill.pipelines.stages.extract.taken import nothing_came, taken

from .crawl import PROSE, jsonl

NAME = st.text(st.sampled_from("ab?*[]#%=& '\"\n{}~!$é語:\\"), min_size=1, max_size=20)


@given(NAME, NAME)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_of_any_name_below_a_folder_of_any_name_is_read_as_what_it_is(tmp_path: Path, folder: str, name: str):
    home = tmp_path / ("d" + folder)
    home.mkdir(exist_ok=True)
    path = home / ("n" + name + ".jsonl")
    path.write_bytes(jsonl([{"text": PROSE}]))
    for given_path in (home, path):
        found = [one for one in resolve((Input(paths=(str(given_path),)),)) if one.place == str(path)]
        assert [one.format for one in found] == ["jsonl"]
        (row,) = read_piece(Piece(found[0].place, "x", file="f", format="jsonl"), Reading(1 << 20))
        assert row.body == PROSE
    path.unlink()


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name and b"\0" not in name))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_name_of_any_bytes_is_spelled_so_that_any_file_can_hold_it(tmp_path: Path, name: bytes):
    path = os.path.join(os.fsencode(tmp_path), b"x" + name)
    told = spelled(os.fsdecode(path))
    told.encode()
    assert os.fsencode(unspelled(told)) == path
    with open(path, "wb") as file:
        file.write(b"text")
    (found,) = resolve((Input(paths=(told,)),))
    found.source.encode()
    assert [row.body for row in read_piece(Piece(found.place, "x", file="f", format="text"), Reading(99))] == [b"text"]
    os.unlink(path)


@pytest.mark.parametrize("below", ["domain=law", "id=5", "year=2024", "w?", "[a]", "*", "a b#c%20"])
def test_a_workspace_of_any_name_has_the_columns_and_domains_that_it_has(extract, tmp_path: Path, below: str):
    (tmp_path / "web.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    done = extract(inputs=(Input(paths=(str(tmp_path / "web.jsonl"),)),), to=f"{below}/W")
    with open_catalog(done.workspace) as connection:
        assert connection.sql("select distinct domain from documents").fetchall() == [("web",)]
        assert "year" not in connection.sql("select * from documents").columns


def test_links_are_followed_once_and_what_leads_nowhere_is_told(tmp_path: Path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.txt").write_text("text")
    home = tmp_path / "home"
    home.mkdir()
    (home / "folder").symlink_to(real)
    (home / "again").symlink_to(home)
    (home / "gone.txt").symlink_to(tmp_path / "nowhere")
    found = resolve((Input(paths=(str(home),)),))
    assert [one.path for one in found] == ["folder/a.txt", "gone.txt"]
    ledger = extend(Workspace(str(tmp_path / "w")), Ledger(), found, 1 << 20).ledger
    errors = [row.error for lot in ledger.lots for piece in lot.pieces for row in read_piece(piece, Reading(99))]
    assert errors == [None, "the file was there when the work was planned and is gone now"]
    with pytest.raises(RequestError, match="leads to no file"):
        resolve((Input(paths=(str(home / "gone.txt"),)),))


def test_archives_are_told_with_what_to_do(tmp_path: Path):
    for data, kind in ((b"PK\x03\x04" + bytes(60), "zip"), (bytes(257) + b"ustar" + bytes(300), "tar")):
        (tmp_path / "a.jsonl").write_bytes(data)
        (row,) = read_piece(Piece(str(tmp_path / "a.jsonl"), "a.jsonl", file="f", format="jsonl"), Reading(1 << 20))
        assert f"{kind} archive: unpack it" in str(row.error)


def test_the_same_bytes_count_under_another_source_and_ids_in_force_stay(extract, tmp_path: Path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl([{"text": PROSE}]))

    def call(name: str, source: str):
        return extract(inputs=(Input(paths=(str(tmp_path / f"{name}.jsonl"),), source=source),))

    before = {row["id"] for row in call("a", "one").rows()}
    after = call("b", "two")
    assert before < {row["id"] for row in after.rows()}
    assert sorted(row["source"] for row in after.rows()) == ["one", "two"]
    again = call("c", "two")
    assert len(again.rows()) == 2
    given = ExtractSettings(inputs=(Input(paths=(str(tmp_path / "c.jsonl"),), source="two"),))
    (one,) = taken(again.workspace, planned(again.workspace, given))
    assert "left out as a repeat" in one.line()
    assert not nothing_came([one])


def test_inputs_of_which_nothing_came_are_no_success_and_say_why(extract, tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(b'{"no": 1}\n{"no": 2}\n')
    given = ExtractSettings(inputs=(Input(paths=(str(tmp_path / "a.jsonl"),), source="test"),))
    space = extract(tmp_path / "a.jsonl").workspace
    found = taken(space, planned(space, given))
    assert nothing_came(found)
    assert "failed 2" in found[0].line()
    assert "no text (2)" in found[0].line()


QUERIES = [
    "select * from read_text('/etc/hostname')",
    "select * from glob('/etc/*')",
    "select * from '{outside}/x.csv'",
    "select * from read_text('{workspace}/../x.csv')",
    "copy (select 1) to '{outside}/y.csv'",
    "attach '{outside}/z.db'",
    "set enable_external_access = true",
    "install httpfs",
    "select * from read_text('{workspace}/link.csv')",
    "select * from secret",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_reads_the_workspace_and_nothing_else(extract, tmp_path: Path, query: str):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    (tmp_path / "x.csv").write_text("a\n1\n")
    space = extract(tmp_path / "a.jsonl").workspace
    os.symlink(tmp_path / "x.csv", f"{space.url}/link.csv")
    secret = {"a": [1]}  # noqa: F841  # a variable that DuckDB must not find
    with open_catalog(space) as connection:
        assert connection.sql("select count(*) from documents").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            connection.sql(query.format(outside=tmp_path, workspace=space.url)).fetchall()
    assert not (tmp_path / "y.csv").exists()


def test_a_refusal_of_a_worker_is_that_refusal_whatever_it_was_wrapped_in():
    outer = RuntimeError("wrapped")
    outer.__cause__ = WorkspaceError("a is gone; run: x [while running 'process']")
    assert str(refusal_in(outer)) == "a is gone; run: x"
    text = "Traceback\n  at y\ngristmill.corpus.store.errors.RequestError: no b [while running 'p']\n\nmore"
    assert isinstance(refusal_in(RuntimeError(text)), RequestError)
    assert str(refusal_in(RuntimeError(text))) == "no b"
    assert "cannot be written" in str(refusal_in(OSError(28, "No space left on device", "/x")))
    assert refusal_in(RuntimeError("a defect")) is None


def test_a_workspace_whose_name_is_no_text_is_refused():
    with pytest.raises(RequestError, match="no UTF-8"):
        Workspace(os.fsdecode(b"/tmp/caf\xe9"))
