"""What a search of the mixture and a ladder of sizes are asked for: plain data that imports nothing heavy.

Refuses names of mixtures that it does not know and a first round too small to fit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from ....corpus.store.errors import unknown_name
from ....mixing.settings import FEWEST, TWO_PHASE, round_sizes
from ....proxy_models.settings import FleetSettings

ONLINE = ("doremi", "ado")  # mixtures that a policy finds on proxies


ALWAYS = ("natural", "fitted")  # validated whatever is asked: gains are over natural

KNOWN = ("natural", "uniform", "unimax", "temperature", "doremi_style", *ONLINE, "best_of_swarm", "fitted")

REUSED = "previous"


class Reuse(BaseModel, frozen=True, extra="forbid"):
    """A mixture in use, whose unchanged domains keep their proportions and act as one in the search."""

    recipe: str = Field(
        description="a recipe.yaml whose unchanged domains act as one", json_schema_extra={"cli": {"option": "--reuse"}}
    )
    changed: tuple[str, ...] | None = Field(
        default=None,
        description="domain to search anew; default: those with other tokens; may be repeated",
        json_schema_extra={"cli": {"option": "--changed"}},
    )
    shares: dict[str, float] = Field(default={}, description="what was read from the recipe: domain -> share")
    shards: dict[str, str] = Field(
        default={}, description="what was read from the recipe: domain -> fingerprint of its tokens"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        given = {"recipe": given} if isinstance(given, str) else given
        if isinstance(given, Mapping) and "recipe" in given and not given.get("shares"):
            from ....mixing.recipe import load_recipe

            found = load_recipe(str(given["recipe"]))
            return {**given, "shares": found.run_shares(), "shards": found.shards}
        return given


class MixSettings(BaseModel, frozen=True, extra="forbid"):
    """How the search is made. `proxy` and `validation` are the models; the recipe is for `total_tokens`."""

    mixtures: int = Field(default=32, ge=8, description="mixtures in the swarm, one proxy each")
    replicates: int = Field(default=2, ge=0, description="extra seeds of the natural mixture: they measure the noise")
    design: Literal["dirichlet", "spread", "nested"] = Field(
        default="dirichlet", description="dirichlet, spread, or nested (by groups)"
    )
    groups: dict[str, tuple[str, ...]] = Field(
        default={},
        description="NAME=DOMAIN,DOMAIN,…: groups drawn first, then within each; may be repeated",
        json_schema_extra={"cli": {"option": "--group", "parse": "groups"}},
    )
    rounds: int = Field(
        default=2,
        ge=1,
        description="rounds, each half the size of the last; later ones look where the fit promises or doubts most",
    )
    boldness: float = Field(
        default=1.0, ge=0, description="what a deviation of the fit is worth when a round is chosen"
    )
    reuse: Reuse | None = Field(
        default=None, description="a mixture in use, whose unchanged domains keep their proportions"
    )
    proxy: FleetSettings = Field(
        default=FleetSettings.model_validate({"evaluations": 4}), description="shape and budget of a proxy"
    )
    repeat_as_run: bool = Field(
        default=False, description="proxies see so small a part of each domain that they repeat it as often as the run"
    )
    validation: FleetSettings | None = Field(
        default=None, description="models that validate; default: the proxy at twice its steps"
    )
    seeds: int = Field(default=3, ge=1, description="seeds of each validated mixture")
    validate_mixtures: tuple[str, ...] = Field(
        default=("natural", "uniform", "best_of_swarm", "fitted"),
        description="mixture to train with seeds, beside the usual four; may be repeated",
        json_schema_extra={"cli": {"option": None}},
    )
    compare: dict[str, dict[str, float]] = Field(
        default={},
        description="NAME:DOMAIN=SHARE,…: a mixture of your own to compare; may be repeated",
        json_schema_extra={"cli": {"parse": "compared"}},
    )
    temperature: float = Field(
        default=2.0, gt=0, description="of the row `temperature`: natural shares to the power 1 / this"
    )
    unimax_epochs: float = Field(default=1.0, gt=0, description="passes of the row `unimax`")
    last_phases: tuple[float, ...] = Field(
        default=(),
        description="share of the run to try another mixture in at its end; may be repeated",
        json_schema_extra={"cli": {"option": "--last-phase"}},
    )
    last_mixtures: int = Field(default=16, ge=8, description="branches for each of them")
    choose: Literal["predicted", "measured"] = Field(
        default="predicted", description="the recipe: predicted (the fit's) or measured best"
    )
    wave: int = Field(default=8, ge=1, description="models trained together")
    heldout_tokens: int = Field(
        default=8192, ge=256, description="held-out tokens per domain that a proxy is measured on"
    )
    target: dict[str, float] = Field(
        default={},
        description="DOMAIN or DOMAIN=WEIGHT; may be repeated; default: every domain alike",
        json_schema_extra={"cli": {"parse": "targets"}},
    )
    regressors: tuple[str, ...] | None = Field(
        default=None, description="candidates of the ensemble, by name; default: all"
    )
    total_tokens: int | None = Field(
        default=None, gt=0, description="tokens of the run the recipe is for; default: every token once"
    )
    max_epochs: float = Field(default=4.0, gt=0, description="passes over a domain that the run may make")
    floors: dict[str, float] = Field(
        default={},
        description="DOMAIN=SHARE that the recipe must reach; may be repeated",
        json_schema_extra={"cli": {"option": "--floor"}},
    )
    ceilings: dict[str, float] = Field(
        default={},
        description="DOMAIN=SHARE that the recipe must not exceed; may be repeated",
        json_schema_extra={"cli": {"option": "--ceiling"}},
    )
    kl: float = Field(
        default=0.0, ge=0, description="price of leaving the natural mixture: KL times this is added to the target"
    )
    cost: dict[str, float] = Field(
        default={}, description="DOMAIN=PRICE per token, in bits per byte of the target; may be repeated"
    )
    at_most: dict[str, float] = Field(
        default={}, description="DOMAIN=LOSS in bits per byte of the proxies that the recipe must keep; may be repeated"
    )
    seq_len: int = Field(default=256, gt=1, description="tokens of a row of the run")
    draws: int = Field(default=20_000, ge=100, description="mixtures that the optimiser draws")
    seed: int = Field(default=0, description="seed of the design and of the proxies; equal seeds give equal bytes")

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
        first = round_sizes(self.mixtures, self.rounds)[0]
        if self.rounds > 1 and first < FEWEST:
            raise ValueError(f"{self.rounds} rounds of {self.mixtures} mixtures begin with {first}; {FEWEST} at least")
        return self

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


class LadderSettings(BaseModel, frozen=True, extra="forbid"):
    """Which sizes, and what each is trained on. `sizes`: name -> what differs from `proxy`, smallest first."""

    mixtures: int = Field(default=8, ge=3, description="mixtures trained at every size")
    replicates: int = Field(default=2, ge=0, description="extra seeds of the natural mixture: the noise of a size")
    proxy: FleetSettings = Field(
        default=FleetSettings.model_validate({"evaluations": 4}), description="what the sizes share"
    )
    sizes: dict[str, dict[str, Any]] = Field(
        default={name: {"d_model": int(name[1:])} for name in ("d32", "d64", "d128")},
        description="name -> what differs from `proxy`, smallest first",
        json_schema_extra={"cli": {"option": None}},
    )
    wave: int = Field(default=8, ge=1, description="models trained together")
    heldout_tokens: int = Field(
        default=8192, ge=256, description="held-out tokens per domain that a model is measured on"
    )
    seed: int = Field(default=0, description="seed of the design and of the models; equal seeds give equal bytes")

    @model_validator(mode="after")
    def _two_sizes(self) -> "LadderSettings":
        if len(self.sizes) < 2:
            raise ValueError(f"sizes: a ladder needs two at least, got {', '.join(self.sizes) or 'none'}")
        for name in self.sizes:
            self.fleet(name)
        return self

    def fleet(self, size: str) -> FleetSettings:
        """Settings of a size; groups are fixed, because a probe's choice would change the bytes."""
        changes = self.sizes[size]
        if "d_model" in changes:
            changes = {"d_ff": 3 * changes["d_model"], **changes}
        fixed = {"group": self.wave, "execution": "stacked", "threads": 1}
        return FleetSettings(**(self.proxy.model_dump() | changes | fixed))
