"""How large a search a span of time affords: how many proxies, of how many tokens, in which waves.

What a proxy costs is measured by the probe of a fleet, how many a machine holds is what its memory says. Mixtures come
first, `PER_DOMAIN` for each domain; what is left makes every proxy longer, up to `ENOUGH` tokens for each parameter of
its blocks; what is left then makes more mixtures, up to `MOST`. Evaluations take at most a quarter of the time.

A plan is advice: it depends on the machine, so it is written down and then given to `mix` as settings, whose results
depend on no machine. Refuses a time in which no proxy of `LEAST_STEPS` steps can be trained.
"""

from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError
from ...training.transformer import block_parameters
from ..scoring.token_losses import threads
from .fleet import FleetSettings
from .pool import TokenPool
from .probe import fastest, fits, measured, state_bytes

PER_DOMAIN, FEWEST, MOST = 5, 16, 512  # mixtures: swarms of public searches have five a domain, up to 512
ENOUGH = 20  # tokens a parameter: longer training makes a better model of the same size, and no better comparison
LEAST_STEPS = 50
CHECKPOINTS = 10
WAVE = 8  # models at least, where memory holds them: what a killed search has to begin again is a wave's last stretch


@dataclass(frozen=True)
class FleetPlan:
    """A search in numbers.

    models           proxies with a mixture of their own
    steps            of each
    evaluations      checkpoints at which each is measured
    wave             models trained by one worker at a time, stacked `group` together
    waves            of all models, those that are trained beside the mixtures too
    seconds          expected, of all workers together, on a machine that does nothing else
    """

    models: int
    steps: int
    evaluations: int
    wave: int
    group: int
    waves: int
    seconds: float

    def settings(self, proxy: FleetSettings) -> dict:
        """What `MixSettings` takes: mixtures, wave and proxy."""
        changed = {"steps": self.steps, "evaluations": self.evaluations, "group": self.group}
        warmup = min(proxy.warmup, self.steps // 5)
        own = proxy.model_dump(mode="json", exclude_defaults=True) | changed | {"warmup": warmup}
        return {"mixtures": self.models, "wave": self.wave, "proxy": own}


def plan(
    rates: dict[int, float],
    room: int,
    proxy: FleetSettings,
    vocab_size: int,
    domains: int,
    heldout_tokens: int,
    seconds: float,
    workers: int = 1,
    beside: int = 0,
) -> FleetPlan:
    """The plan for what was measured.

    rates           group size -> tokens of all its models per second of one worker
    room            models that the machine's memory holds
    heldout_tokens  of all targets together: every evaluation reads them, at a third of the price of training
    beside          models that are trained beside the mixtures: replicates and validation, in models of the swarm's
    """
    group = fastest(rates)
    affordable, per_step = rates[group] * seconds * workers, proxy.sequences * proxy.seq_len
    enough = ENOUGH * block_parameters(proxy.config(vocab_size))
    enough += min(CHECKPOINTS * heldout_tokens, enough) / 3
    least = max(FEWEST, PER_DOMAIN * domains)
    models = min(MOST, max(least, int(affordable / enough) - beside))
    each = affordable / (models + beside)
    evaluations = int(np.clip(0.25 * each / (heldout_tokens / 3), 1, CHECKPOINTS))
    steps = int((each - evaluations * heldout_tokens / 3) / per_step)
    if steps < LEAST_STEPS:
        needed = (LEAST_STEPS * per_step + heldout_tokens / 3) * (least + beside) / (rates[group] * workers)
        raise RequestError(
            f"{seconds / 60:.3g} minutes do not train {models + beside} proxies of {LEAST_STEPS} steps; "
            f"{needed / 60:.2g} minutes do, or smaller proxies, or more workers"
        )
    wave = max(1, min(room // workers, -(-(models + beside) // workers), max(group, WAVE)))
    spent = (models + beside) * (steps * per_step + evaluations * heldout_tokens / 3) / rates[group]
    return FleetPlan(models, steps, evaluations, wave, min(group, wave), -(-(models + beside) // wave), spent)


def plan_fleet(
    pool: TokenPool, proxy: FleetSettings, seconds: float, workers: int = 1, beside: int = 0
) -> tuple[FleetPlan, str]:
    """The plan for this machine, after a short probe, and what was measured, as a sentence."""
    room = fits(pool, proxy, MOST)
    natural = np.tile(pool.natural, (room, 1))
    with threads(1):  # as the search will have
        rates = measured(pool, natural, proxy, [0] * room, max(1, room // workers))
    heldout = sum(len(target.tokens) for target in pool.heldout)
    found = plan(rates, room, proxy, pool.vocab_size, len(pool.domains), heldout, seconds, workers, beside)
    told = ", ".join(f"{size}: {rate:,.0f}" for size, rate in sorted(rates.items()))
    return found, (
        f"tokens/s of one worker by models stacked: {told}; {sum(state_bytes(pool, proxy)) / 1e6:.1f} MB a model, "
        f"memory holds {room}{' or more' if room == MOST else ''}"
    )
