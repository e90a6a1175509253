"""Opt-out: what a list covers, and that it stays out."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.removals import parse
from gristmill.corpus.store.errors import RequestError
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.balance.stage import BalanceSettings, run_balance
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.opt_out import opt_out
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

from .crawl import PROSE, jsonl, pages, zipped

ENDS = ("en", "al", "ish", "ful", "or", "um", "ic", "ous")
WORDS = [grain + end for grain in ("oat", "rye", "corn", "bran", "malt") for end in ENDS]


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


@pytest.mark.slow
def test_everything_made_from_a_removed_document_is_rebuilt_as_it_was_made(extract, tmp_path: Path):
    warc, rows = tmp_path / "a.warc.gz", tmp_path / "b.jsonl"
    warc.write_bytes(zipped(pages(4)))
    rows.write_bytes(
        jsonl([{"text": f"{WORDS[n]} {PROSE} {n}", "url": f"https://h{n % 4}.example/{n}"} for n in range(40)])
    )
    space = extract(warc, rows).workspace
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "name: few\nrules:\n  - {rule: words, value: gopher@paper.word_count, threshold: 9, keep: value >= threshold}\n"
    )
    run_filter(space, FilterSettings(rules=str(rules)), RunnerOptions(), quiet=True)
    deduplicate(space, DedupSettings(threshold=0.9, num_perm=64, size=3), RunnerOptions(), quiet=True)
    run_balance(space, BalanceSettings(by="host", cap=9), RunnerOptions(), quiet=True)
    tokenize(space, TokenizeSettings(vocab_size=300, heldout=0.25, metadata="host"), RunnerOptions(), quiet=True)
    before = {table.name: table.finished("test").settings for table in space.tables()}
    summary = opt_out(space, parse(["h1.example", "https://mill.example/2"], "list"), RunnerOptions(), quiet=True)
    assert summary["removed"] == 11
    assert (summary["rebuilt"], summary["left"]) == (["filter", "dedup", "balance", "tokenize"], {})
    assert {table.name: table.finished("test").settings for table in space.tables() if table.name in before} == before
    assert audit(space)["findings"] == []
    captured = {row["url"] for batch in space.table("captures").read() for row in batch.to_pylist()}
    assert captured == {f"https://mill.example/{n}" for n in (0, 1, 3)}


def test_what_cannot_be_rebuilt_is_named_with_the_reason(extract, tmp_path: Path):
    path, listed = tmp_path / "a.jsonl", tmp_path / "concepts.txt"
    path.write_bytes(jsonl([{"text": PROSE, "url": f"https://h{n}.example/"} for n in range(4)]))
    listed.write_text("mill\n")
    space = extract(path).workspace
    run_balance(space, BalanceSettings(concepts=str(listed), cap=9), RunnerOptions(), quiet=True)
    tokenize(space, TokenizeSettings(vocab_size=300), RunnerOptions(), quiet=True)
    listed.unlink()
    summary = opt_out(space, parse(["h1.example"], "list"), RunnerOptions(), quiet=True)
    assert summary["rebuilt"] == []
    assert summary["left"] == {
        "balance": f"{listed}, which it was made with, is gone",
        "tokenize": "comes after balance",
    }


PIECES = st.sampled_from(
    [
        "a.example",
        "www.a.example",
        "b.a.example",
        "A.example",
        "c.example:80",
        "www.",
        "a.example.",
        "[::1]",
        "münchen.de",
    ]
)
TAILS = st.sampled_from(["", "/", "/x", "/x/", "/x/y.html", "/X%20y", "/x?q=1", "?q", "#f", "//x", "/x y", "/ü"])
ADDRESSES = st.builds(
    lambda scheme, host, tail: scheme + host + tail,
    st.sampled_from(["http://", "https://", "HTTPS://", "ftp://", "//", ""]),
    PIECES,
    TAILS,
)


@given(
    st.lists(ADDRESSES | st.none(), max_size=12),
    st.lists(
        st.sampled_from(
            ["a.example", "https://a.example/x", "a.example/x/", "https://b.a.example", "c.example/x?q=1", f"{1:032x}"]
        ),
        min_size=1,
    ),
)
def test_a_list_covers_of_many_documents_what_it_covers_of_each(urls: list[str | None], listed: list[str]):
    asked = parse(listed, "list")
    ids = [f"{number:032x}" for number in range(len(urls))]
    each = {n: e for n, (id, url) in enumerate(zip(ids, urls, strict=True)) if (e := asked.covers(id, url)) is not None}
    assert asked.covering(pa.array(ids, pa.string()), pa.array(urls, pa.string())) == each
