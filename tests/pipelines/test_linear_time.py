"""Whatever reads text takes time that grows with the text: every step of the registries, on ordinary and hostile text.

Sizes are a quarter of those of `benchmarks/linear_time.py`, whose steps, inputs and measure these are.
"""

import math
import tempfile
from functools import cache
from pathlib import Path

import pytest

from benchmarks import linear_time
from gristmill.corpus.readers.inputs import FORMATS
from gristmill.corpus.text.extraction import ENGINES
from gristmill.dedup.folds import FOLDS
from gristmill.filters.pii import KINDS
from gristmill.filters.signals.families import Family, all_families

PARTS = 8  # so that several processes can share the steps


@cache
def _pairs():
    return linear_time.pairs(Path(tempfile.mkdtemp()))


def _steps() -> list[str]:
    return sorted({step for step, _ in _pairs()})


def test_every_signal_fold_mask_reader_and_engine_is_among_the_steps():
    steps = set(_steps())
    families = {name for name, one in all_families().items() if one.column in ("", "text", "url")}
    assert {f"signal {name}" for name in families} <= steps
    assert {f"mask {kind}" for kind in KINDS} <= steps
    assert {f"extract {engine}" for engine in ENGINES} <= steps
    assert {f"read {kind}" for kind in FORMATS} <= steps
    assert {f"fold {fold} characters" for fold in FOLDS} <= steps


def test_a_family_that_is_added_is_measured(monkeypatch):
    added = Family("mine", 1, ("n",), lambda layout: {}, column="text")
    monkeypatch.setattr(linear_time, "all_families", lambda: {"mine": added})
    assert set(linear_time.of_text()) == {"mine"}


def test_a_squared_step_is_told_from_a_linear_one(monkeypatch):
    """By the count of its operations: the clock is theirs."""
    spent = [0.0]
    monkeypatch.setattr(linear_time.time, "process_time", lambda: spent[0])
    monkeypatch.setattr(linear_time.gc, "collect", lambda: None)
    monkeypatch.setattr(linear_time, "SIZES", (50, 200, 800))

    def step(power: float):
        def run(text: str) -> None:
            spent[0] += 1e-3 * len(text) ** power

        return run

    for power in (1.0, 1.3, 2.0):
        grown, _ = linear_time.exponent(step(power), lambda size: "a" * size)
        assert grown == pytest.approx(power, abs=0.01) or grown == math.inf


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_time_grows_with_the_text(part, monkeypatch):
    monkeypatch.setattr(linear_time, "SIZES", tuple(size // 4 for size in linear_time.SIZES))
    monkeypatch.setattr(linear_time, "WIDE", tuple(size // 4 for size in linear_time.WIDE))
    monkeypatch.setattr(linear_time.gc, "collect", lambda: None)
    mine = _steps()[part::PARTS]
    found = {
        (step, name): linear_time.exponent(run, made, linear_time.SHORTEST / 4)
        for (step, name), (run, made) in _pairs().items()
        if step in mine and step not in linear_time.THEIRS
    }
    assert {pair: told for pair, told in found.items() if told[0] > linear_time.MOST} == {}
