"""Learning rates at the places that define each schedule, and curves pinned for ever."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.training.schedules import Schedule, factor

KINDS = ("constant", "wsd", "cosine", "linear", "power", "infinite")


def curve(steps=100, **settings):
    schedule = Schedule(**settings)
    return [factor(schedule, step, steps) for step in range(steps)]


@pytest.mark.parametrize(
    ("settings", "at", "expected"),
    [
        ({"kind": "constant", "warmup": 0.1}, (0, 4, 9, 10, 99), (0.1, 0.5, 1, 1, 1)),
        ({"kind": "wsd", "warmup": 0.1, "decay": 0.2}, (10, 80, 90, 99), (1, 1, 0.5, 0.05)),
        ({"kind": "wsd", "decay": 0.2, "shape": "sqrt"}, (80, 85, 95), (1, 0.5, 1 - 0.75**0.5)),
        ({"kind": "wsd", "decay": 0.2, "shape": "exponential", "final": 0.01}, (80, 90), (1, 0.1)),
        ({"kind": "cosine", "warmup": 0.0, "final": 0.1}, (0, 50), (1, 0.55)),
        ({"kind": "linear", "warmup": 0.0}, (25, 50, 99), (0.75, 0.5, 0.01)),
        ({"kind": "power", "warmup": 0.0, "knee": 0.1, "decay": 0.0}, (5, 10, 40), (1, 1, 4**-0.51)),
        (
            {"kind": "infinite", "warmup": 0.0, "cooldown": 0.5, "plateau": 0.4, "decay": 0.2, "final": 0.004},
            (25, 50, 70, 90),
            (0.7, 0.4, 0.4, 0.04),
        ),
        ({"kind": "cosine", "warmup": 0.1, "start": 0.5}, (0, 4, 9), (0.55, 0.75, 1)),
    ],
)
def test_a_schedule_has_its_defining_values(settings, at, expected):
    values = curve(**settings)
    assert [values[step] for step in at] == pytest.approx(expected, abs=1e-9)


@given(
    st.sampled_from(KINDS),
    st.integers(1, 500),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.sampled_from(["linear", "sqrt", "cosine", "exponential"]),
)
def test_every_factor_lies_between_zero_and_one_and_only_the_warm_up_rises(kind, steps, warmup, decay, shape):
    cooldown = max(0.0, min(0.3, 1 - warmup - decay))
    values = curve(steps, kind=kind, warmup=warmup, decay=decay, shape=shape, cooldown=cooldown, knee=0.5)
    assert all(0 < value <= 1 + 1e-12 for value in values)
    warm = round(warmup * steps)
    after = values[warm:]
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(after))
    assert all(b >= a for a, b in itertools.pairwise(values[:warm]))


@given(
    st.sampled_from(["constant", "wsd", "cosine", "linear", "power", "infinite"]),
    st.floats(0, 0.99),
    st.floats(0.02, 1),
    st.floats(0.02, 0.9),
    st.floats(0.05, 1),
    st.integers(40, 400),
)
def test_the_rate_never_drops_in_one_step_or_the_schedule_is_refused(kind, warmup, decay, cooldown, knee, steps):
    parts = {"wsd": warmup + decay, "power": warmup + decay, "infinite": warmup + cooldown + decay}.get(kind, 0)
    settings = {"kind": kind, "warmup": warmup, "decay": decay, "cooldown": cooldown, "knee": knee}
    if parts > 1 + 1e-9 or (kind == "power" and warmup > knee):
        with pytest.raises(ValueError, match=r"overlap: they sum to|ends behind the knee"):
            Schedule(**settings)
        return
    schedule = Schedule(**settings)
    rates = [factor(schedule, step, steps) for step in range(steps)]
    steepest = max(math.log(1000) / decay, math.pi / (2 * cooldown), math.pi / (2 * (1 - warmup)), 1 / knee)
    assert max(a - b for a, b in itertools.pairwise(rates)) <= 2 * steepest / steps + 1e-9
