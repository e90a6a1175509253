"""What `train` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from ....mixing.settings import OnlineSettings
from ....training.loop_settings import LoopSettings, SampleSettings


class Subset(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which parts of domains a run reads, again and again, instead of all of each once.

    shares    domain -> share of its tokens
    epochs    domain -> passes: the part is what the phases' tokens go over so many times
    best      TABLE.COLUMN below scores/: the documents that it puts first; rows at random without it
    smallest  the smallest scores are the best
    phases    their numbers in the recipe as it is cut, from 1; none: all
    until     fraction of the run at which it ends
    """

    shares: dict[str, float] = Field(default={}, description="domain -> share of its tokens")
    epochs: dict[str, float] = Field(
        default={}, description="domain -> passes: the part is what the phases' tokens go over so many times"
    )
    best: str | None = Field(
        default=None,
        description="TABLE.COLUMN below scores/: the documents that it puts first; default: rows at random",
    )
    smallest: bool = Field(default=False, description="the smallest scores are the best")
    phases: tuple[int, ...] = Field(
        default=(), description="numbers of the phases in the recipe as it is cut, from 1; none: all"
    )
    until: float = Field(default=1.0, gt=0, le=1, description="fraction of the run at which it ends")

    @model_validator(mode="after")
    def _sound(self) -> "Subset":
        both = sorted(self.shares.keys() & self.epochs.keys())
        if both:
            raise ValueError(f"give {', '.join(both)} a share or a number of epochs, not both")
        if any(not 0 < share <= 1 for share in self.shares.values()):
            raise ValueError("shares must lie in (0, 1]")
        if any(epochs < 1 for epochs in self.epochs.values()):
            raise ValueError("epochs must be at least 1")
        return self


class Replay(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Tokens of the mixture that the model was trained on before, a share of every phase."""

    recipe: str = Field(
        description="the recipe.yaml of the earlier run; its domains must have tokens in this workspace"
    )
    share: float = Field(default=0.05, gt=0, lt=1, description="share of every phase that is replayed")


class Conditioning(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A metadata prefix before every document, without loss, and none in the last part of the run."""

    metadata: Literal["host", "url", "source", "domain"] = Field(
        default="host", description="what tokenize wrote before every document"
    )
    cooldown: float = Field(default=0.1, ge=0, lt=1, description="last fraction of the run, without the prefix")


class Upsample(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Shares of domains in the last part of the run; the others keep their proportions in what is left."""

    shares: dict[str, float] = Field(
        min_length=1,
        description="domain -> share in the last part of the run; the others keep their proportions in what is left",
    )
    last: float = Field(default=0.2, gt=0, le=1, description="fraction of the run that is the last part")

    @model_validator(mode="after")
    def _sound(self) -> "Upsample":
        if any(share < 0 for share in self.shares.values()) or sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError("shares must not be negative nor sum to more than 1")
        return self


class Changes(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a run changes of its recipe, and how it packs."""

    packing: Literal["concat", "bestfit", "decompose"] = Field(
        default="concat", description="how documents are put into rows"
    )
    curriculum: str = Field(default="natural", description="decompose: the order of row lengths")
    conditioning: Conditioning | None = Field(
        default=None, description="metadata before every document, then a cooldown without; default: none"
    )
    upsample: Upsample | None = Field(
        default=None, description="other shares in the last part of the run; default: none"
    )
    subset: Subset | None = Field(
        default=None, description="parts of domains that are repeated instead of reading all of them; default: all"
    )
    replay: Replay | None = Field(
        default=None,
        description="some of what the model was trained on before, for a run that goes on from it; default: none",
    )
    max_epochs: float | None = Field(
        default=None,
        gt=0,
        description="most passes over a domain in the whole run, the others fill in; default: no cap",
    )


class Shape(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a model size leaves open."""

    tied: bool | None = Field(default=None, description="embedding and head are one matrix; default: the size's")
    qk_norm: bool | None = Field(default=None, description="queries and keys are normalised; default: the size's")
    n_kv_heads: int | None = Field(
        default=None,
        ge=1,
        description="key and value heads; fewer than heads: grouped-query attention; default: the size's",
    )
    d_ff: int | None = Field(default=None, ge=1, description="width of the feed-forward part; default: the size's")
    rope_base: float | None = Field(default=None, gt=0, description="base of the rotary angles; default: the size's")


class TrainSettings(Changes, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the recipe does not say: the model, the batch and the loop; and what the run changes of it."""

    recipe: str | None = Field(
        default=None,
        description="a recipe.yaml; default: the one that mix wrote into the workspace",
        json_schema_extra={"cli": {"argument": True}},
    )
    name: str | None = Field(default=None, description="name of the run; default: the recipe's name")
    model: str | None = Field(
        default=None,
        description="1m, 4m, 15m, 60m, 150m, 350m, 1b, LAYERSxWIDTHxHEADS; default: the branch's shape, or 1m",
    )
    shape: Shape = Field(
        default=Shape(), description="what a model size leaves open, of a model that is not a branch's"
    )
    tokens: int | None = Field(default=None, ge=1, description="train on so many tokens instead of the recipe's total")
    batch_tokens: int = Field(default=8192, ge=1, description="tokens per step, over all ranks")
    seed: int = Field(
        default=0, description="seed of the weights and of the order of data; equal seeds give equal bytes"
    )
    evaluation_tokens: int = Field(default=50_000, ge=1, description="held-out tokens per domain that are measured")
    targets: tuple[str, ...] = Field(
        default=(),
        description="JSONL or text file of a target task, scored when held-out text is measured; may be repeated",
    )
    target_items: int = Field(default=200, ge=1, description="items of each target")
    branch: str | None = Field(default=None, description="a checkpoint, or a run, whose weights to start from")
    online: OnlineSettings | None = Field(
        default=None, description="what moves the shares while the model trains; default: they are the recipe's"
    )
    samples: SampleSettings | None = Field(
        default=None, description="what the model writes whenever held-out text is measured; default: nothing"
    )
    loop: LoopSettings = Field(
        default=LoopSettings(), description="optimiser, schedule and everything else of the training loop"
    )
