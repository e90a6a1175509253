"""What the commands `mix` and `mix ladder` take beside their settings."""

from typing import Any

from pydantic import BaseModel, Field

from ....corpus.store.errors import RequestError
from .settings import CANDIDATES


class MixOptions(BaseModel, frozen=True, extra="forbid"):
    """The size of a proxy."""

    steps: int | None = Field(default=None, ge=1, description="training steps of a proxy; default: 200")
    d_model: int | None = Field(default=None, ge=2, description="width of a proxy; default: 64")
    also: tuple[str, ...] = Field(
        default=(),
        description="mixture to train with seeds, beside the usual ones; may be repeated",
        json_schema_extra={"cli": {"option": "--validate"}},
    )


class LadderOptions(BaseModel, frozen=True, extra="forbid"):
    """The sizes of the models."""

    widths: str | None = Field(default=None, description="of the models, smallest first; default: 32,64,128")
    steps: int | None = Field(default=None, ge=1, description="training steps of each model; default: 200")


def gather(values: dict[str, Any], options: MixOptions) -> dict[str, Any]:
    """The settings with the proxy's size, the usual mixtures, and the nested design where groups are given."""
    made = dict(values)
    reuse = made.get("reuse")
    if isinstance(reuse, dict) and "recipe" not in reuse and reuse.get("changed"):
        raise RequestError("--changed says which domains an old recipe lacks; it needs --reuse RECIPE")
    if options.also:
        made["validate_mixtures"] = [*made.get("validate_mixtures", CANDIDATES), *options.also]
    if made.get("groups"):
        made.setdefault("design", "nested")
    made["proxy"] = proxy_values(made.get("proxy") or {}, options.steps, options.d_model)
    return made


def proxy_values(given: dict[str, Any], steps: int | None, d_model: int | None) -> dict[str, Any]:
    """Settings of a proxy: the file's, then the options; the feed-forward width and the evaluations follow them."""
    made = dict(given)
    if steps is not None:
        made["steps"] = steps
    if d_model is not None:
        made |= {"d_model": d_model, "d_ff": 3 * d_model}
    return {"evaluations": min(4, made.get("steps", 200)), **made}


def ladder_gather(values: dict[str, Any], options: LadderOptions) -> dict[str, Any]:
    """The settings with the sizes and the steps."""
    made = dict(values)
    if options.widths is not None or "sizes" not in made:
        widths = options.widths if options.widths is not None else "32,64,128"
        numbers = widths.split(",")
        if not all(number.isdecimal() and int(number) > 0 for number in numbers) or len(set(numbers)) < len(numbers):
            raise RequestError(f"--widths {widths}: expected different numbers, as 32,64,128")
        made["sizes"] = {f"d{number}": {"d_model": int(number)} for number in numbers}
    if options.steps is not None or "proxy" not in made:
        steps = options.steps or 200
        made["proxy"] = {
            **(made.get("proxy") or {}),
            "steps": steps,
            "evaluations": min(4, steps),
            "warmup": min(20, steps // 5),
        }
    return made
