"""The recipe: the one artefact that leaves the tool, a YAML file that states a training mixture in tokens.

A share is a share of training tokens and nothing else; each exporter converts it into its trainer's unit. What can be
derived (a domain's share of the whole run, its epochs) may be left out by a human and is written for one; where it is
written and does not follow from the phases, the recipe is refused rather than believed.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ..corpus.given_files import read_yaml
from ..corpus.settings import truths_for_numbers
from ..corpus.store.errors import RequestError
from ..corpus.store.shards import filesystem, fingerprint, replacing

SUM_TOLERANCE = 1e-6  # shares are written with six decimals
ROUNDED_FROM = 3  # decimals from which a sum that misses 1 by rounding alone is believed: .7 and .2 miss a domain
DERIVED_TOLERANCE = 1e-4  # relative, for the numbers that follow from others


class Domain(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the recipe knows of one domain. `share` and `epochs` follow from the phases."""

    tokens_available: int = Field(gt=0)
    mean_tokens_per_document: float = Field(gt=0)
    bytes_per_token: float = Field(gt=0)
    share: float | None = Field(default=None, ge=0, le=1)  # of the tokens of the whole run
    epochs: float | None = Field(default=None, ge=0)  # share * total_tokens / tokens_available
    max_epochs: float | None = Field(default=None, gt=0)  # a cap that the whole run keeps
    loss_weight: float = Field(default=1.0, ge=0)  # multiplies the loss of its tokens; sampling is the share's job


class RecipePhase(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A stretch of the run with one mixture. `until` is the fraction of total_tokens at which it ends."""

    until: float = Field(gt=0, le=1)
    seq_len: int = Field(gt=1)
    shares: dict[str, float]
    metadata: Literal["none", "host", "url", "source", "domain"] = "none"  # before a document, without loss

    @field_validator("shares", mode="after")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        """Shares that miss 1 by no more than their own rounding are scaled to it; others stand, and are refused."""
        total = math.fsum(shares.values())
        if 0 < abs(total - 1) <= sum_tolerance(shares.values()) and all(0 <= share <= 1 for share in shares.values()):
            return {name: share / total for name, share in shares.items()} if abs(total - 1) > 1e-9 else shares
        return shares


class Tokenizer(BaseModel, frozen=True, extra="forbid"):
    """Which tokenizer the token counts are in."""

    sha256: str
    vocab_size: int = Field(gt=0)
    bos: int | None = None
    eos: int | None = None
    path: str | None = None  # where it was, for a human; the hash decides


class Evidence(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Why this mixture: what was tried, what it predicted and what was measured."""

    seed: int
    swarm: dict[str, Any] = {}  # mixtures, tokens and parameters of each proxy, FLOPs of the whole search
    regressor: dict[str, Any] = {}  # what was chosen, by which cross-validated numbers
    target: dict[str, float] = {}  # weight of each held-out domain in the objective
    chosen: str = ""  # the name of what the recipe holds, and whether prediction or validation chose it
    predicted: dict[str, float] = {}  # bits per byte on the target: value, low, high (90 %)
    baselines: dict[str, Any] = {}  # trivial mixtures and what they are predicted to give
    validation: dict[str, Any] = {}  # held-out proxies: bits per byte by mixture, mean and spread over seeds
    fresh: dict[str, Any] = {}  # the same again with fresh seeds, where validation chose
    card: dict[str, Any] = {}  # how surely its order against others holds in a larger model, noise of each target
    verdict: str = ""
    # held-out texts of each domain and target file, and those that are trained on
    overlap: dict[str, dict[str, int]] = {}


class Recipe(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A training mixture. Build one with `make_recipe`, read one with `load_recipe`."""

    version: Literal[1] = 1
    name: str = "recipe"
    total_tokens: int = Field(gt=0)
    domains: dict[str, Domain]
    phases: tuple[RecipePhase, ...] = Field(min_length=1)
    tokenizer: Tokenizer | None = None
    shards: dict[str, str] = {}  # domain -> fingerprint of tokens/<domain>
    evidence: Evidence | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        ends = [phase.until for phase in self.phases]
        if any(b <= a for a, b in itertools.pairwise(ends)):
            raise ValueError(f"phases must end in order, but `until` reads {ends}")
        if ends[-1] != 1.0:
            raise ValueError(f"the last phase must have `until: 1.0`, it has {ends[-1]}")
        for number, phase in enumerate(self.phases, 1):
            unknown = sorted(set(phase.shares) - set(self.domains))
            if unknown:
                raise ValueError(f"phase {number}: no domain {', '.join(unknown)}; there are {sorted(self.domains)}")
            if any(not 0 <= share <= 1 for share in phase.shares.values()):
                raise ValueError(f"phase {number}: a share must lie in [0, 1]")
            total = math.fsum(phase.shares.values())
            if abs(total - 1) > sum_tolerance(phase.shares.values()):
                raise ValueError(f"phase {number}: shares sum to {total:.8g}, not to 1")
        shares = self.run_shares()
        for name, domain in self.domains.items():
            epochs = shares[name] * self.total_tokens / domain.tokens_available
            _follows(name, "share", domain.share, shares[name])
            _follows(name, "epochs", domain.epochs, epochs)
            if domain.max_epochs is not None and epochs > domain.max_epochs * (1 + DERIVED_TOLERANCE):
                raise ValueError(f"domain {name}: {epochs:.4g} epochs exceed its cap of {domain.max_epochs:.4g}")
        unknown = sorted(set(self.shards) - set(self.domains))
        if unknown:
            raise ValueError(f"shards: no domain {', '.join(unknown)}")
        return self

    def run_shares(self) -> dict[str, float]:
        """Share of each domain in the tokens of the whole run, every domain named, in order of names."""
        begins = [0.0, *(phase.until for phase in self.phases)]
        spans = [end - begin for begin, end in itertools.pairwise(begins)]
        return {
            name: math.fsum(span * phase.shares.get(name, 0.0) for span, phase in zip(spans, self.phases, strict=True))
            for name in sorted(self.domains)
        }

    def epochs(self) -> dict[str, float]:
        """Passes over each domain's available tokens in the whole run."""
        return {
            name: share * self.total_tokens / self.domains[name].tokens_available
            for name, share in self.run_shares().items()
        }

    def fingerprint(self) -> str:
        """Identifies what is trained: everything except the name and the evidence."""
        return fingerprint(self.model_dump(mode="json", exclude={"name", "evidence"}))


def other_tokens(recipe: Recipe, tokenizer: str, shards: Mapping[str, str]) -> list[str]:
    """In what the tokens of a workspace are not those that a recipe was made for, as sentences' parts.

    tokenizer  its sha256; shards: domain -> fingerprint of its tokens
    """
    found = []
    if recipe.tokenizer is not None and recipe.tokenizer.sha256 != tokenizer:
        found.append(f"tokenizer: {recipe.tokenizer.sha256[:12]}… in the recipe, {tokenizer[:12]}… in the workspace")
    for name, expected in sorted(recipe.shards.items()):
        if name in shards and shards[name] != expected:
            found.append(f"tokens of {name}: {expected[:12]}… in the recipe, {shards[name][:12]}… here")
    return found


def sum_tolerance(shares: Iterable[float]) -> float:
    """How far shares may sum from 1: half a unit of the last decimal that is written, for each of them.

    Three of .333333 miss it by a millionth, nine of .111111 too. With fewer than three decimals only the usual
    millionth counts, because a share that was forgotten would hide there.
    """
    written = list(shares)
    decimals = max((-int(Decimal(repr(share)).as_tuple().exponent) for share in written), default=0)
    own = len(written) * 0.5 * 10.0**-decimals if decimals >= ROUNDED_FROM else 0.0
    return max(SUM_TOLERANCE, own) + 1e-12


def differences(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    """Place in the recipe -> the values that differ there, None where one has none; without names and evidence.

    Phases are counted from 1.
    """
    sides = [_flat(one.model_dump(mode="json", exclude={"name", "evidence"})) for one in (before, after)]
    places = [*sides[0], *(place for place in sides[1] if place not in sides[0])]
    found = {place: (sides[0].get(place), sides[1].get(place)) for place in places}
    return {place: pair for place, pair in found.items() if pair[0] != pair[1]}


def _flat(content: Any, place: str = "") -> dict[str, Any]:
    if isinstance(content, dict):
        parts = content.items()
    elif isinstance(content, list):
        parts = enumerate(content, 1)
    else:
        return {place: content}
    return {
        key: value
        for name, part in parts
        for key, value in _flat(part, f"{place}.{name}" if place else str(name)).items()
    }


def _follows(name: str, field: str, written: float | None, derived: float) -> None:
    if written is None:
        return
    decimals = -int(Decimal(repr(float(written))).as_tuple().exponent)
    rounding = 0.5 * 10.0**-decimals if decimals >= ROUNDED_FROM else 0.0
    if abs(written - derived) > max(DERIVED_TOLERANCE * max(derived, 1e-2), rounding):
        raise ValueError(
            f"domain {name}: {field} is written as {written:.6g} but its phases give {derived:.6g}; "
            f"correct it or leave it out"
        )


def make_recipe(
    *,
    total_tokens: int,
    domains: Mapping[str, Mapping[str, Any] | Domain],
    phases: list[RecipePhase],
    **rest: Any,
) -> Recipe:
    """A recipe with shares rounded to six decimals (summing to exactly 1) and the derived numbers filled in.

    Raises RequestError for what a recipe refuses, for example more epochs of a domain than its cap.
    """
    exact = [phase.model_copy(update={"shares": rounded(phase.shares)}) for phase in phases]
    try:
        plain = {
            name: Domain.model_validate({**dict(domains[name]), "share": None, "epochs": None})
            for name in sorted(domains)
        }
        bare = Recipe(total_tokens=total_tokens, domains=plain, phases=tuple(exact), **rest)
    except ValidationError as error:
        raise RequestError(f"this makes no valid recipe:\n{_reasons(error)}") from error
    shares, epochs = bare.run_shares(), bare.epochs()
    filled = {
        name: domain.model_copy(update={"share": round(shares[name], 8), "epochs": round(epochs[name], 6)})
        for name, domain in plain.items()
    }
    return bare.model_copy(update={"domains": filled})


def rounded(shares: Mapping[str, float], decimals: int = 6) -> dict[str, float]:
    """Shares in whole millionths by largest remainder: they sum to 1 exactly in decimal. Sorted by name."""
    names = sorted(shares)
    unit = 10**decimals
    exact = np.array([shares[name] for name in names], float)
    if not np.isfinite(exact).all() or (exact < 0).any() or exact.sum() <= 0:
        raise RequestError(f"shares must be finite, not negative and not all zero: {dict(shares)}")
    scaled = exact / exact.sum() * unit
    whole = np.floor(scaled).astype(np.int64)
    order = np.lexsort((np.arange(len(names)), -(scaled - whole)))  # ties by name
    whole[order[: unit - int(whole.sum())]] += 1
    return {name: int(count) / unit for name, count in zip(names, whole, strict=True)}


def load_recipe(path: str) -> Recipe:
    """Read and validate a recipe. Raises RequestError that names the file, the place and what would be right."""
    fs, inner = filesystem(str(path))
    if not fs.exists(inner):
        raise RequestError(f"no recipe at {path}; gristmill mix writes WORKSPACE/mixture/recipe.yaml")
    content = read_yaml(str(path))
    if not isinstance(content, dict):
        raise RequestError(f"{path} is not a recipe: expected keys such as total_tokens, domains and phases")
    truths = list(truths_for_numbers(Recipe, content))
    if truths:
        raise RequestError(f"{path} is not a valid recipe: true or false is no number, as in {', '.join(truths)}")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RequestError(f"{path} is not a valid recipe:\n{_reasons(error)}") from error


def _reasons(error: ValidationError) -> str:
    """A line for each mistake; what only follows from another inside of it, a list without its entry, has none."""
    places = [item["loc"] for item in error.errors()]
    return "\n".join(
        f"  {'.'.join(str(part) for part in item['loc']) or 'recipe'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
        if not any(len(place) > len(item["loc"]) and place[: len(item["loc"])] == item["loc"] for place in places)
    )


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML: keys in the order of the schema, domains sorted, so that two recipes can be compared."""
    content = recipe.model_dump(mode="json", exclude_none=True)
    content["domains"] = dict(sorted(content["domains"].items()))
    for phase in content["phases"]:
        phase["shares"] = dict(sorted(phase["shares"].items()))
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def save_recipe(recipe: Recipe, path: str) -> None:
    """Write the recipe; the file appears whole or not at all."""
    with replacing(str(path)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(dump_recipe(recipe))


class _Dumper(yaml.SafeDumper):
    """YAML without aliases, and floats that YAML 1.1 readers take for floats (1e-06 is a string to them)."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(float(value))
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _float)
