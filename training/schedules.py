"""Learning-rate schedules: step -> factor of the peak rate. Pure functions of (step, steps), so nothing is resumed.

constant  warm-up, then 1
wsd       warm-up, stable, decay over the last part (Hu et al. 2024, MiniCPM)
cosine    warm-up, half a cosine down to `final`
linear    warm-up, a line down to `final`
power     warm-up, then min(1, (step / knee)^-0.51), decay over the last part (Shen et al. 2024)
infinite  warm-up, cosine down to `plateau` over `cooldown`, constant, exponential anneal (Ibrahim et al. 2024)

Refuses a warm-up that overlaps the decay, or that ends where a power schedule falls already: the rate would drop in
one step. Re-warming for continual pre-training is a warm-up that starts from `start`, the factor at which the run
before ended.
"""

import math
from typing import Literal

from pydantic import BaseModel, Field, model_validator

EXPONENT = -0.51  # of the power schedule


class Schedule(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Fractions are of the run's steps."""

    kind: Literal["constant", "wsd", "cosine", "linear", "power", "infinite"] = Field(
        default="wsd", description="how the learning rate moves after its warm-up"
    )
    warmup: float = Field(default=0.05, ge=0, lt=1, description="fraction of the run's steps in which the rate rises")
    decay: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="wsd, power, infinite: fraction of the steps, at the end, in which the rate falls",
    )
    shape: Literal["linear", "sqrt", "cosine", "exponential"] = Field(
        default="linear", description="of that fall; sqrt is 1 - sqrt(x)"
    )
    final: float = Field(default=0.0, ge=0, le=1, description="factor of the rate at the end")
    start: float = Field(default=0.0, ge=0, le=1, description="factor of the rate at which the warm-up begins")
    cooldown: float = Field(
        default=0.3, ge=0, lt=1, description="infinite: fraction of the steps in which the rate falls to its plateau"
    )
    plateau: float = Field(default=0.3, gt=0, le=1, description="infinite: factor of the rate on its plateau")
    knee: float = Field(
        default=0.1, gt=0, le=1, description="power: fraction of the steps after which the rate starts to fall"
    )

    @model_validator(mode="after")
    def _parts_follow_each_other(self) -> "Schedule":
        parts = {"warmup": self.warmup}
        if self.kind == "infinite":
            parts["cooldown"] = self.cooldown
        if self.kind in ("wsd", "power", "infinite"):
            parts["decay"] = self.decay
        if sum(parts.values()) > 1 + 1e-9:
            told = " and ".join(f"{name} {value:g}" for name, value in parts.items())
            raise ValueError(f"{told} are fractions of the run and overlap: they sum to {sum(parts.values()):g}")
        if self.kind == "power" and self.warmup > self.knee:
            raise ValueError(
                f"warmup {self.warmup:g} ends behind the knee {self.knee:g}, where the rate has "
                f"fallen to {(self.warmup / self.knee) ** EXPONENT:.2f} of its peak already; choose a "
                f"knee of {self.warmup:g} or more"
            )
        return self


def rise(step: int, warm: int, start: float = 0.0) -> float:
    """The factor for step `step` (from 0) of a warm-up of `warm` steps that begins at `start`."""
    return start + (1.0 - start) * (step + 1) / warm


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The factor for step `step` (from 0) of `steps`. The first step learns, and so does the last: `final` is where the
    schedule would be after it."""
    warm = round(schedule.warmup * steps)
    if step < warm:
        return rise(step, warm, schedule.start)
    at = step / steps
    begin, end = warm / steps, 1.0 - schedule.decay
    progress = (at - begin) / max(1.0 - begin, 1e-12)
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "cosine":
        return schedule.final + (1.0 - schedule.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule.kind == "linear":
        return 1.0 + (schedule.final - 1.0) * progress
    level = _level(schedule, min(at, end), begin)
    if at <= end or schedule.decay == 0:
        return level
    return _decayed(schedule, level, min(1.0, (at - end) / schedule.decay))


def _level(schedule: Schedule, at: float, begin: float) -> float:
    """The factor before the last decay sets in."""
    if schedule.kind == "power":
        return min(1.0, (max(at, schedule.knee) / schedule.knee) ** EXPONENT)
    if schedule.kind == "infinite" and schedule.cooldown > 0:
        cooled = min(1.0, max(0.0, at - begin) / schedule.cooldown)
        return schedule.plateau + (1.0 - schedule.plateau) * 0.5 * (1.0 + math.cos(math.pi * cooled))
    return schedule.plateau if schedule.kind == "infinite" else 1.0


def _decayed(schedule: Schedule, level: float, x: float) -> float:
    """From `level` at x = 0 to `final` at x = 1."""
    shape = "exponential" if schedule.kind == "infinite" else schedule.shape
    if shape == "exponential":
        floor = max(schedule.final, 1e-3 * level)  # an exponential cannot reach zero
        return level * (floor / level) ** x
    kept = {"linear": 1.0 - x, "sqrt": 1.0 - math.sqrt(x), "cosine": 0.5 * (1.0 + math.cos(math.pi * x))}[shape]
    return schedule.final + (level - schedule.final) * kept
