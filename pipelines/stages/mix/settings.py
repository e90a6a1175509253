"""What a search of the mixture is asked for, checked before anything is trained.

Refuses names of mixtures and targets that it does not know, target files that cannot be read, a target without text to
measure by, numbers that are none, and an old recipe that this very run would replace.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from ....corpus.readers.texts import names_a_file
from ....corpus.store.calls import File
from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import checksum
from ....corpus.store.workspace import Workspace
from ....mixing.proxies import ONLINE
from ....mixing.recipe import load_recipe
from ....mixing.search.rounds import BOLDNESS
from ....mixing.search.simplex import Limits
from ....mixing.search.units import Units
from ....mixing.target_files import HALF_TOKENS, read_items, target_entry, targets_of
from ....mixing.verdict import SWARM_BEST, TWO_PHASE
from ....proxy_models.fleets.fleet import FleetSettings
from ....training.data.shards import domains as token_domains
from ....training.data.shards import open_tokens, table_name
from ....training.transformer import block_parameters
from ...engine.stage import Plan

ALWAYS = ("natural", "fitted")  # validated whatever is asked: gains are over natural
CANDIDATES = ("natural", "uniform", *SWARM_BEST, "fitted")  # validated where nothing else is asked for
KNOWN = ("natural", "uniform", "unimax", "temperature", "doremi_style", *ONLINE, *SWARM_BEST, "fitted")
REUSED = "previous"
LAST = "last"  # waves of branches are named last and the millionths of their phase
JUDGED_MIXTURES = 4  # mixtures at most that fresh seeds train once more
FEWEST_SEQUENCES = 2  # sequences of the run that a domain of the recipe has at least


class Reuse(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A mixture in use, whose unchanged domains keep their proportions and act as one in the search.

    recipe   where it was read from; what was read decides, not the path
    changed  domains to search anew; None: those that the recipe has not, or whose token shards are others now
    """

    recipe: str
    changed: tuple[str, ...] | None = None
    shares: dict[str, float] = {}
    shards: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        given = {"recipe": given} if isinstance(given, str) else given
        if isinstance(given, Mapping) and "recipe" in given and not given.get("shares"):
            found = load_recipe(str(given["recipe"]))
            return {**given, "shares": found.run_shares(), "shards": found.shards}
        return given


class MixSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the search is made. `proxy` and `validation` are the models; the recipe is for `total_tokens`."""

    mixtures: int = Field(default=32, ge=8)
    replicates: int = Field(default=2, ge=0)  # extra seeds of the natural mixture: they measure the noise
    design: Literal["dirichlet", "spread", "nested"] = "dirichlet"
    groups: dict[str, tuple[str, ...]] = {}  # nested: group -> its domains; groups are drawn first, then within each
    rounds: int = Field(
        default=5,
        ge=1,
        description="the first round draws half of the mixtures, the others look where the fit promises or doubts most",
    )
    boldness: float = Field(
        default=BOLDNESS, ge=0, description="what a deviation of the fit is worth when a round is chosen"
    )
    least_gain: float = Field(
        default=1e-4,
        ge=0,
        description="bits per byte of the target that a further round must be expected to gain; else the search stops",
    )
    reuse: Reuse | None = None
    proxy: FleetSettings = FleetSettings.model_validate({"evaluations": 4})
    repeat_as_run: bool = False  # proxies see so small a part of each domain that they repeat it as often as the run
    validation: FleetSettings | None = None  # default: the proxy at twice its steps
    seeds: int = Field(default=3, ge=1)
    validate_mixtures: tuple[str, ...] = Field(
        default=CANDIDATES, description="what is trained at validation size with seeds, and handed over by"
    )
    compare: dict[str, dict[str, float]] = {}  # mixtures of your own: name -> domain -> share
    temperature: float = Field(default=2.0, gt=0)  # of the row `temperature`: natural shares to the power 1 / this
    unimax_epochs: float = Field(default=1.0, gt=0)  # of the row `unimax`
    last_phases: tuple[float, ...] = ()  # shares of the run to try another mixture in at its end
    last_mixtures: int = Field(default=16, ge=8)  # branches for each of them
    choose: Literal["predicted", "measured"] | None = Field(
        default=None,
        description="the recipe holds the fitted mixture, or what validates best where fresh seeds prove that it beats "
        "the natural one; measured, but predicted where last phases are tried",
    )
    wave: int = Field(default=8, ge=1)  # models trained together
    heldout_tokens: int = Field(default=8192, ge=256)
    target: dict[str, float] = Field(
        default={}, description="held-out domain or target file -> weight; nothing said: every domain alike"
    )
    target_files: dict[str, File] = Field(
        default={}, description="target -> file of questions and answers or of texts; half of it searches, half judges"
    )
    target_tokens: int = Field(
        default=HALF_TOKENS, ge=256, description="measured in each half of a target file, where it has so many"
    )
    regressors: tuple[str, ...] | None = None
    total_tokens: int | None = Field(default=None, gt=0)  # of the run; default: every token once
    max_epochs: float = Field(default=4.0, gt=0)
    floors: dict[str, float] = {}
    ceilings: dict[str, float] = {}
    kl: float = Field(default=0.0, ge=0)  # price of leaving the natural mixture: KL times this is added to the target
    cost: dict[str, float] = {}  # domain -> price per token, in bits per byte of the target
    at_most: dict[str, float] = {}  # target -> bits per byte of the proxies that the fitted mixture must keep
    seq_len: int = Field(default=256, gt=1)  # of the run
    draws: int = Field(default=20_000, ge=100)
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _files_among_targets(cls, given: Any) -> Any:
        """`target` may name files: a text, a list of texts, or name -> weight, file, or {file, weight}."""
        if not isinstance(given, Mapping) or not given.get("target"):
            return given
        told, entries = given["target"], []
        if isinstance(told, (str, list, tuple)):
            entries = [target_entry(str(entry), "target") for entry in ([told] if isinstance(told, str) else told)]
        elif isinstance(told, Mapping):
            for name, value in told.items():
                if isinstance(value, Mapping):
                    if not set(value) <= {"file", "weight"}:
                        raise ValueError(f"target: {name}: write a weight, a file, or both as file: and weight:")
                    entries.append((str(name), value.get("file"), value.get("weight", 1.0)))
                elif isinstance(value, str) and names_a_file(value):
                    entries.append((str(name), value, 1.0))
                elif value is None and names_a_file(str(name)):
                    entries.append(target_entry(str(name), "target"))
                else:
                    entries.append((str(name), None, value))
        weights, files = targets_of(entries, "target")
        both = sorted(set(files) & set(given.get("target_files") or {}))
        if both:
            raise ValueError(f"target_files: {', '.join(both)} has a file in target already")
        return {**given, "target": weights, "target_files": {**files, **(given.get("target_files") or {})}}

    @model_validator(mode="after")
    def _fits_together(self) -> "MixSettings":
        clash = sorted(set(self.compare) & {*KNOWN, REUSED, TWO_PHASE})
        if clash:
            raise ValueError(f"compare: {', '.join(clash)} is the name of a mixture that is there anyway")
        known = [*KNOWN, *self.compare, *([REUSED] if self.reuse else [])]
        for name in self.validate_mixtures:
            if name not in known:
                raise unknown_name("mixture", name, known, where="validate_mixtures")
        if bool(self.groups) != (self.design == "nested"):
            raise ValueError("groups belong to `design: nested`, and the nested design needs them")
        if self.reuse and self.groups:
            raise ValueError("groups and reuse exclude each other: the unchanged domains are the group")
        if self.choose == "measured" and self.last_phases:
            raise ValueError("choose: measured may take another mixture than the one that last_phases branch off")
        for length in self.last_phases:
            if not 0 < round(length * self.proxy.steps) < self.proxy.steps:
                raise ValueError(f"last_phases: {length:g} of {self.proxy.steps} steps leaves one phase empty")
        for where, numbers in (("target", self.target), ("floors", self.floors), ("ceilings", self.ceilings)):
            for name, value in numbers.items():
                if value < 0:
                    raise ValueError(f"{where}: {name} is {value:g}; it must be 0 at least")
        if self.target and not sum(self.target.values()):
            raise ValueError("target: the weights are all zero, so there is nothing to aim at")
        return self

    @property
    def measured(self) -> bool:
        """Whether measurement decides what is handed over."""
        return (self.choose or ("predicted" if self.last_phases else "measured")) == "measured"

    def weights(self) -> dict[str, float]:
        """Weight of each target in what is minimised; empty: every held-out domain alike."""
        return {**dict.fromkeys(self.target_files, 1.0), **self.target}

    def fleet(self, kind: str) -> FleetSettings:
        """Settings of the models of a wave; groups are fixed, because a probe's choice would change the bytes."""
        settings = self.proxy
        if kind in ("validation", "twophase", "final"):
            settings = self.validation or self.proxy.model_copy(update={"steps": 2 * self.proxy.steps})
        return settings.model_copy(update={"group": settings.group or self.wave, "execution": "stacked", "threads": 1})

    def online(self) -> list[str]:
        """The mixtures asked for that a policy finds on a proxy of its own."""
        return [name for name in ONLINE if name in self.validate_mixtures]

    def validated(self) -> list[str]:
        """The mixtures to train, in the order in which they are compared."""
        return list(dict.fromkeys([*ALWAYS[:1], *(n for n in self.validate_mixtures if n not in ALWAYS), ALWAYS[1]]))


def recorded(settings: MixSettings) -> dict[str, Any]:
    """What decides the bytes: everything but the place that an old recipe was read from."""
    told = settings.model_dump(mode="json", exclude={"reuse": {"recipe"}})
    return {**told, "target_files": sorted(settings.target_files)}  # what they hold is an input


def mix_inputs(workspace: Workspace, settings: MixSettings) -> dict[str, str]:
    found = domain_inputs(workspace, "mix")
    names = token_domains(workspace)
    for name, path in settings.target_files.items():
        if name in names:
            raise RequestError(f"target: {name} is a domain; give the file {path} another name, as NAME=FILE")
        read_items(path)  # refused here, before anything is trained
        found[f"target:{name}"] = checksum(path)
    known = [*names, *settings.target_files]
    for where, named in (("target", settings.target), ("at_most", settings.at_most)):
        for name in named:
            if name not in known:
                raise unknown_name("held-out domain or target file", name, known, where=where)
    for name in settings.cost:
        if name not in names:
            raise unknown_name("domain", name, names, where="cost")
    without = [name for name in names if not open_tokens(workspace, name, "heldout").bytes]
    needed = [name for name in (*settings.target, *settings.at_most) if name in without]
    if without and not settings.weights():
        raise RequestError(
            f"{', '.join(without)} has no held-out text to be a target by; say with --target which count, or tokenize "
            f"with a larger --heldout"
        )
    if needed:
        raise RequestError(f"{', '.join(needed)} has no held-out text to be a target by; leave it out of the targets")
    if without and settings.online():
        follower = ", ".join(settings.online())
        raise RequestError(
            f"{follower} follows the loss of every domain, and {', '.join(without)} has no text held out"
        )
    for mixture, shares in settings.compare.items():
        for name in shares:
            if name not in names:
                raise unknown_name("domain", name, names, where=f"compare: {mixture}")
    if settings.reuse and settings.reuse.recipe == workspace.path("mixture", "recipe.yaml"):
        raise RequestError(f"{settings.reuse.recipe} is what this run would replace; copy it, and reuse the copy")
    return found


def domain_inputs(workspace: Workspace, stage: str) -> dict[str, str]:
    """The token table of every domain; refuses fewer than two, of which there are no mixtures."""
    names = token_domains(workspace)
    if not names:
        workspace.table("tokens").finished(stage)
    if len(names) < 2:
        raise RequestError(f"a mixture needs two domains at least, {workspace.url} has {', '.join(names)}")
    return {table_name(name): workspace.table(table_name(name)).finished(stage).fingerprint for name in names}


def beside(settings: MixSettings) -> dict[str, float]:
    """What a search trains beside its mixtures, at most, in proxies: a model at validation size is several of them."""
    large = settings.fleet("validation").tokens_per_model / settings.proxy.tokens_per_model
    large *= block_parameters(settings.fleet("validation").config(1)) / block_parameters(settings.proxy.config(1))
    phases = len(set(settings.last_phases))
    return {
        "replicates": float(settings.replicates),
        "policies": float(sum(ONLINE[name] for name in settings.online())),
        "validation": large * settings.seeds * len(settings.validated()),
        "judging": large * settings.seeds * (JUDGED_MIXTURES if settings.measured else bool(phases)),
        "last_phases": sum(1 - length + settings.last_mixtures * length for length in set(settings.last_phases)),
    }


def run_tokens(plan: Plan, available: np.ndarray) -> int:
    return plan.settings.total_tokens or int(available.sum())


def smallest_share(plan: Plan, available: np.ndarray) -> float:
    """The smallest share of the run that is worth having: a run cannot draw less."""
    return FEWEST_SEQUENCES * plan.settings.seq_len / run_tokens(plan, available)


def validation_seeds(settings: MixSettings) -> list[int]:
    """Other seeds than the swarm's, so that no luck is carried over."""
    return [settings.seed + 1000 + number for number in range(settings.seeds)]


def run_limits(plan: Plan, available: np.ndarray, names: list[str]) -> Limits:
    settings = plan.settings
    return Limits.of(
        names,
        available=available,
        total_tokens=run_tokens(plan, available),
        max_epochs=settings.max_epochs,
        floors=settings.floors,
        ceilings=settings.ceilings,
    )


def run_units(plan: Plan, names: list[str]) -> Units:
    """What the search moves: every domain, or the changed ones and the rest of an old mixture."""
    reuse: Reuse | None = plan.settings.reuse
    if reuse is None:
        return Units.of(names)
    changed = reuse.changed
    if changed is None:
        changed = tuple(name for name in names if reuse.shards.get(name) != plan.inputs[table_name(name)])
        if len(changed) == len(names):
            raise RequestError(
                f"the tokens of every domain differ from those of {reuse.recipe} (another tokenizer changes them all); "
                f"say with --changed which domains are new or different"
            )
    return Units.reused(names, reuse.shares, changed)


def compared(plan: Plan, names: list[str], available: np.ndarray, excess: np.ndarray | None) -> dict[str, np.ndarray]:
    """The mixtures that need no fit and no proxy of their own, beside natural and uniform.

    excess  (steps, D) for the row doremi_style, where known: DoReMi's rule along the swarm's natural proxy
    """
    from ....mixing.search import baselines

    settings = plan.settings
    found = {
        "unimax": baselines.unimax(available, float(run_tokens(plan, available)), settings.unimax_epochs),
        "temperature": baselines.temperature(available, settings.temperature),
    }
    if excess is not None:
        found["doremi_style"] = baselines.doremi_style(excess, baselines.natural(available))
    given = dict(settings.compare)
    if settings.reuse:
        given[REUSED] = {name: share for name, share in settings.reuse.shares.items() if name in names}
    for name, shares in given.items():
        row = np.array([shares.get(domain, 0.0) for domain in names])
        if (row < 0).any() or row.sum() <= 0:
            raise RequestError(f"compare: {name}: shares must be >= 0 and not all zero")
        found[name] = row / row.sum()
    return found
