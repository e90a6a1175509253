"""What a search of the mixture and a ladder of sizes are asked for: plain data that imports nothing heavy.

Refuses names of mixtures that it does not know, numbers that are none, and a target that is said twice.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from ....corpus.readers.text_names import names_a_file
from ....corpus.settings import File
from ....corpus.store.errors import unknown_name
from ....mixing.settings import BOLDNESS, HALF_TOKENS, SWARM_BEST, TWO_PHASE
from ....mixing.target_names import target_entry, targets_of
from ....proxy_models.settings import FleetSettings

ONLINE = ("doremi", "ado")  # mixtures that a policy finds on proxies


ALWAYS = ("natural", "fitted")  # validated whatever is asked: gains are over natural

CANDIDATES = ("natural", "uniform", *SWARM_BEST, "fitted")  # validated where nothing else is asked for

KNOWN = ("natural", "uniform", "unimax", "temperature", "doremi_style", *ONLINE, *SWARM_BEST, "fitted")

REUSED = "previous"


class Reuse(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
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


class MixSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
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
        default=5,
        ge=1,
        description="rounds: the first draws half of the mixtures, later ones look where the fit promises most",
    )
    boldness: float = Field(
        default=BOLDNESS, ge=0, description="what a deviation of the fit is worth when a round is chosen"
    )
    least_gain: float = Field(
        default=1e-4,
        ge=0,
        description="bits per byte of the target that a further round must be expected to gain; else the search stops",
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
        default=CANDIDATES,
        description="mixtures to train with seeds at validation size, of which one is handed over",
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
    choose: Literal["predicted", "measured"] | None = Field(
        default=None,
        description="the recipe: predicted (the fit's), or measured: what validates best where fresh seeds prove that "
        "it beats natural, else natural; default: measured, but predicted where last phases are tried",
    )
    wave: int = Field(default=8, ge=1, description="models trained together")
    heldout_tokens: int = Field(
        default=8192, ge=256, description="held-out tokens per domain that a proxy is measured on"
    )
    target: dict[str, float] = Field(
        default={},
        description="DOMAIN, FILE or NAME=FILE, each with =WEIGHT or not; may be repeated; default: every domain alike",
        json_schema_extra={"cli": {"parse": "target_entries"}},
    )
    target_files: dict[str, File] = Field(
        default={},
        description="target -> file of questions and answers or of texts; one half is searched by, the other judges",
        json_schema_extra={"cli": {"option": None}},
    )
    target_tokens: int = Field(
        default=HALF_TOKENS, ge=256, description="tokens measured in each half of a target file, where it has so many"
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
        default={}, description="TARGET=LOSS in bits per byte of the proxies that the recipe must keep; may be repeated"
    )
    seq_len: int = Field(default=256, gt=1, description="tokens of a row of the run")
    draws: int = Field(default=20_000, ge=100, description="mixtures that the optimiser draws")
    seed: int = Field(
        default=0, ge=0, description="seed of the design and of the proxies; equal seeds give equal bytes"
    )

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


class LadderSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
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
    seed: int = Field(default=0, ge=0, description="seed of the design and of the models; equal seeds give equal bytes")

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
