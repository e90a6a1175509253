"""What moves the shares of a run while it trains: plain data that imports nothing heavy."""

import itertools
import math
from typing import Literal

from pydantic import BaseModel, Field

from ..corpus.store.errors import RequestError

FITTED, TWO_PHASE = "fitted", "two_phase"  # what a recipe holds: one mixture, or another one for its end as well
SWARM_BEST = ("best_of_swarm", "smoothed_best", "smoothed_second")  # by what was measured, and by its smoothed values
FEWEST = 8  # mixtures that a fit needs
BOLDNESS = 2.0  # what a deviation of the surrogate is worth when a round is chosen
HALF_TOKENS = 50_000  # of text that is measured in each half of a target file, where it has so much
FEWEST_POINTS = 4  # measured losses before ADO fits a power law through them


class OnlineSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What moves the shares of a run while it trains, and how often."""

    policy: Literal["ado"] = Field(
        default="ado",
        description="ado: shares follow what still lowers each domain's loss",
        json_schema_extra={"cli": {"option": "--online"}},
    )
    every: int | None = Field(
        default=None, ge=1, description="steps between two changes of the shares; default: a hundredth of the run"
    )
    warmup: float = Field(
        default=0.1, ge=0, lt=1, description="fraction of the run whose losses are too early for a power law"
    )
    least: float = Field(default=0.01, ge=0, lt=1, description="share that every domain keeps")
    mean: float = Field(
        default=0.9, ge=0, lt=1, description="part of the shares that is the mean of preferences so far"
    )

    def stride(self, steps: int, rows: int, domains: int) -> int:
        """Steps between two changes of the shares: a hundredth of the run, but rows enough for the least share.

        steps of the run; rows of a step; domains of the mixture. Refuses a run in which the shares could never move.
        """
        if domains * self.least > 1:
            raise RequestError(f"online: a least share of {self.least:g} for {domains} domains is more than all")
        fewest = max(1, -(-max(domains, math.ceil(1 / self.least) if self.least else 0) // rows))
        every = self.every or max(fewest, steps // 100)
        if every < fewest:
            raise RequestError(
                f"online: {rows * every} rows every {every} steps cannot hold {domains} domains with a least share of "
                f"{self.least:g}; set online.every to {fewest} or more"
            )
        if (1 - self.warmup) * steps / every < FEWEST_POINTS + 1:
            raise RequestError(
                f"online: {steps} steps are over before shares that move every {every} steps can follow a law; train "
                f"on more tokens, in smaller batches, or with a larger online.least"
            )
        return every


def round_sizes(mixtures: int, rounds: int) -> list[int]:
    """Mixtures of each round: half (8 at least) in the first, the rest alike: 64 in 5 rounds are 32, 8, 8, 8 and 8."""
    if rounds == 1:
        return [mixtures]
    first = min(mixtures, max(-(-mixtures // 2), FEWEST))
    ends = [first + (mixtures - first) * number // (rounds - 1) for number in range(rounds)]
    return [first, *(end - begin for begin, end in itertools.pairwise(ends))]
