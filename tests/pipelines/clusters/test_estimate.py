"""An estimate: every byte is as likely to be drawn as any other, and what is spent once is counted once."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.planning.ledger import Lot, Piece
from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.clusters.estimate import Spent, drawable, estimate, expected, larger, lines, sample, weight
from gristmill.pipelines.clusters.prices import Prices
from gristmill.pipelines.engine.run import load_settings


def lot(name: str, size: int) -> Lot:
    return Lot(name, (Piece(name, name, name, "jsonl", weight=size),))


@given(st.floats(0, 1e4), st.floats(1e-9, 1e-3), st.integers(1, 10**7), st.integers(2, 16), st.integers(1, 1000))
def test_what_grows_by_the_byte_and_what_is_spent_once_are_told_apart(once, each, first, times, more):
    spent = [Spent("filter", n, once + each * n, 1, 0, 0) for n in (first, first * times)]
    whole = first * times * more
    assert expected(spent, whole).cpu_hours * 3600 == pytest.approx(once + each * whole, rel=1e-6)


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.integers(1, 10**6), st.integers(1, 10**9))
def test_no_stage_is_expected_to_take_less_than_its_sample_took(one, other, first, more):
    spent = [Spent("filter", first, one, 1, 0, 0), Spent("filter", 2 * first, other, 1, 0, 0)]
    assert expected(spent, 2 * first + more).cpu_hours * 3600 >= other * (1 - 1e-9) - 1e-12


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50, unique=False), st.integers(0, 10**5))
def test_a_sample_holds_what_is_wanted_or_all_and_a_larger_one_holds_the_smaller(sizes, wanted):
    lots = [lot(f"lot-{number}", size) for number, size in enumerate(sizes)]
    taken = sample(lots, wanted)
    assert weight(taken) >= min(wanted, weight(lots))
    assert {each.name for each in taken} <= {each.name for each in sample(lots, 2 * wanted)}


def test_a_large_file_counts_by_its_pieces():
    """A file of 5 GB beside 1,000 of 20 KB: the share of its pieces in a sample is its share of the bytes."""
    large = [lot(f"large-{number}", 1 << 20) for number in range(5000)]
    small = [lot(f"small-{number}", 20 << 10) for number in range(1000)]
    taken = sample([*large, *small], 500 << 20)
    share = weight([each for each in taken if each.name.startswith("large")]) / weight(taken)
    assert share == pytest.approx(weight(large) / weight([*large, *small]), abs=0.005)


def test_a_file_that_cannot_be_cut_and_does_not_fit_is_named():
    fit, left_out = drawable([lot("a", 1000), lot("b", 10**10)], minutes=2)
    assert [each.name for each in fit] == ["a"]
    assert left_out == ["b"]


@given(st.integers(1, 10**9), st.integers(1, 10**12), st.floats(0, 500), st.floats(6, 600))
def test_the_second_sample_fits_the_time_and_the_inputs(first, whole, took, seconds):
    times = larger(first, whole, took, seconds)
    assert 0 <= times <= 16
    assert times * first <= max(whole, first) * (1 + 1e-9)
    assert times * max(took, 0.1) <= max(0.0, seconds - took) * (1 + 1e-9)


def test_money_is_hours_by_their_price():
    from gristmill.pipelines.clusters.estimate import Expected

    assert Expected("train", 10, 0, 0, 0, 2).money(Prices(cpu_hour=0.5, gpu_hour=3)) == 11


@pytest.mark.slow
def test_an_estimate_names_every_stage_that_runs_and_those_that_do_not(tmp_path):
    words = "the of and to a in that is was he for it with as his on be at by I this had not are but".split()
    rows = [
        {"text": " ".join(words[n % 20 :] + words[: n % 20] * 4), "url": f"https://h{n}.example/"} for n in range(60)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {
        "workspace": str(tmp_path / "w"),
        "extract": {"inputs": [{"paths": [str(tmp_path / "a.jsonl")], "domain": "pages"}]},
        "filter": {"rules": "gopher"},
        "train": {"model": "15m"},
        "mix": {"total_tokens": 10**9, "target": {"pages": 1.0}},
        "prices": {"gpu_hour": 2, "gpu_flops": 1e14, "currency": "EUR"},
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(told))
    found = estimate(load_settings(tmp_path / "s.yaml"), minutes=0.1)
    assert [row["stage"] for row in found["stages"]] == ["extract", "filter", "train"]
    assert found["notes"] == ["not estimated: mix"]
    assert found["total"]["gpu_hours"] == found["stages"][2]["gpu_hours"] > 0
    assert found["total"]["money"] == pytest.approx(2 * found["total"]["gpu_hours"], abs=1e-3)
    assert list(lines(found))[-2].endswith("EUR")
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_an_estimate_without_inputs_is_refused(tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"workspace": str(tmp_path / "w"), "filter": {"rules": "gopher"}}))
    with pytest.raises(RequestError, match="section extract"):
        estimate(load_settings(tmp_path / "s.yaml"))
