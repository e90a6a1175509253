"""Opt-out: what a list covers, and that it stays out."""

from pathlib import Path

import pytest

from gristmill.corpus.optout import parse
from gristmill.corpus.refusal import RequestError
from gristmill.pipelines.optout import opt_out
from gristmill.pipelines.runner import RunnerOptions

from .crawl import PROSE, jsonl

LIST = ["# who asked", "Example.org", "https://www.mill.example/private/", "http://mill.example/one?x=1", "a" * 32]


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("https://example.org/x", True),
        ("http://sub.EXAMPLE.org/", True),
        ("https://notexample.org/", False),
        ("https://mill.example/private/a/b", True),
        ("https://mill.example/privately", False),
        ("https://www.mill.example/one?x=1#top", True),
        ("https://mill.example/one?x=2", False),
        ("http://[broken", False),
        (None, False),
    ],
)
def test_a_list_covers_hosts_folders_and_addresses(url: str | None, covered: bool):
    assert bool(parse(LIST, "list").covers("b" * 32, url)) == covered


def test_an_id_is_covered_without_a_url():
    assert parse(LIST, "list").covers("a" * 32, None) == "a" * 32


def test_a_line_that_is_nothing_is_refused_by_number():
    with pytest.raises(RequestError, match="list, line 2: 'what is this' is neither"):
        parse(["example.org", "what is this"], "list")


def test_removed_documents_are_logged_and_stay_out(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"{PROSE} {n}", "url": f"https://h{n % 3}.example/{n}"} for n in range(9)]
    path.write_bytes(jsonl(rows))
    done = extract(path)
    asked = parse(["h1.example"], "list")
    summary = opt_out(done.workspace, asked, RunnerOptions(), quiet=True)
    assert summary["removed"] == 3
    assert {row["host"] for row in done.rows()} == {"h0.example", "h2.example"}
    assert [row["entry"] for row in done.rows("removed")] == ["h1.example"] * 3
    counts = done.workspace.table("documents").manifest().counts
    assert (counts["in"], counts["kept"], counts["dropped"]) == (9, 6, 3)
    assert opt_out(done.workspace, asked, RunnerOptions(), quiet=True)["removed"] == 0
    assert extract(path).summary["skipped"]
    again = extract(path, engine="raw", force=True)
    assert (again.counts["kept"], again.counts["dropped"]) == (6, 3)
