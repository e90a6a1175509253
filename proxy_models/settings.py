"""What fleets of proxies and scoring methods are asked for. Checked for form alone; imports nothing heavy.

What a method needs is for `ScoreSettings.checked`; whether a device is there, for `FleetSettings.where`.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from ..corpus.extensions import extensions
from ..corpus.settings import File, Folder
from ..corpus.store.errors import RequestError, unknown_name
from ..training.schedules import Schedule, factor, rise

if TYPE_CHECKING:
    from ..training.transformer import TransformerConfig

METHODS = ("color", "pair", "perplexity", "dsir", "zipfit", "rds", "transport")
TARGETED = ("color", "dsir", "zipfit", "rds", "transport")  # these need a target
Decay = Annotated[float, Field(ge=0, lt=1)]
WINDOW = 32 << 10  # bytes that zlib looks back


@lru_cache(maxsize=64)
def _schedule(kind: Literal["constant", "cosine", "wsd"], warmup: float) -> Schedule:
    """The schedule of a fleet whose models warm up for that part of their steps."""
    return Schedule(kind=kind, warmup=warmup, decay=0.2 * (1 - warmup), final=0.1 if kind == "cosine" else 0.0)


class FleetSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Shape, budget and update rule, the same for every model of the fleet save the learning rate."""

    n_layers: int = Field(default=2, ge=1, description="layers of each model")
    d_model: int = Field(default=64, ge=2, description="width of each model")
    n_heads: int = Field(default=2, ge=1, description="attention heads")
    n_kv_heads: int | None = Field(default=None, ge=1, description="key and value heads; default: as many as heads")
    d_ff: int = Field(default=192, ge=1, description="width of the feed-forward layer")
    tied: bool = Field(default=False, description="embedding and head are one matrix")
    qk_norm: bool = Field(default=True, description="queries and keys are normalised")
    seq_len: int = Field(default=128, ge=2, description="tokens of a row")
    sequences: int = Field(default=4, ge=1, description="rows of each model in each step")
    steps: int = Field(default=200, ge=1, description="training steps")
    lr: float | tuple[float, ...] = Field(default=4e-3, description="peak learning rate, one or one a model")
    warmup: int = Field(default=20, ge=0, description="steps of linear rise")
    schedule: Literal["constant", "cosine", "wsd"] = Field(
        default="wsd",
        description="after the warm-up: constant, cosine to a tenth, or wsd: constant, the last fifth falls to zero",
    )
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.95), description="AdamW's two decays")
    epsilon: float = Field(default=1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(default=0.1, ge=0, description="decoupled decay of matrices")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of a model's gradient; null: no clipping")
    evaluations: int = Field(
        default=10, ge=1, description="measurements of every model over the run, the last at its end"
    )
    execution: Literal["auto", "stacked", "sequential"] = Field(
        default="auto",
        description="models stacked into one program or one after another; auto: what a probe finds faster",
    )
    group: int | None = Field(default=None, ge=1, description="models stacked at a time; default: what execution says")
    threads: int = Field(default=1, ge=1, description="threads of each process")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one, else cpu"
    )
    devices: int = Field(
        default=1, ge=1, description="devices of that kind over which the groups are spread; results are the same"
    )
    compile: bool = Field(
        default=False,
        description="trunk and head by torch.compile, which takes about a minute for each shape of a group",
    )

    @field_validator("lr")
    @classmethod
    def _rates_learn(cls, lr: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if any(rate <= 0 for rate in (lr if isinstance(lr, tuple) else (lr,))):
            raise ValueError(f"a learning rate is above 0, not {lr}")
        return lr

    @model_validator(mode="after")
    def _steps_hold_evaluations(self) -> "FleetSettings":
        if self.evaluations > self.steps:
            raise ValueError(f"{self.evaluations} evaluations do not fit into {self.steps} steps")
        return self

    def config(self, vocab_size: int) -> "TransformerConfig":
        """The shape of one model."""
        from ..training.transformer import TransformerConfig

        return TransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads or self.n_heads,
            d_ff=self.d_ff,
            vocab_size=vocab_size,
            max_len=self.seq_len,
            tied=self.tied,
            qk_norm=self.qk_norm,
        )

    @property
    def tokens_per_model(self) -> int:
        return self.steps * self.sequences * self.seq_len

    def rate(self, step: int) -> float:
        """The learning rate of a step relative to the peak, in (0, 1]."""
        if step < self.warmup:  # a run may be shorter than its warm-up
            return rise(step, self.warmup)
        return factor(_schedule(self.schedule, self.warmup / self.steps), step, self.steps)

    def evaluated(self) -> list[int]:
        """Steps after which every model is measured; the last is the last step."""
        return [round(self.steps * (i + 1) / self.evaluations) for i in range(self.evaluations)]

    def where(self) -> str:
        """The device; a RequestError for one that is not there."""
        import torch

        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda" and not torch.cuda.is_available():
            raise RequestError("device cuda was asked for, and torch sees none here")
        return self.device

    def places(self) -> list[str]:
        """The devices that groups are spread over; a RequestError where there are not so many. On a CPU they are
        threads."""
        import torch

        if self.where() == "cpu":
            return ["cpu"] * self.devices
        if self.devices > torch.cuda.device_count():
            raise RequestError(f"{self.devices} devices were asked for, torch sees {torch.cuda.device_count()}")
        return [f"cuda:{number}" for number in range(self.devices)]


class ColorSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the two models are trained."""

    prior: FleetSettings = Field(default=FleetSettings(
        n_layers=2, d_model=64, n_heads=2, d_ff=192, seq_len=512, sequences=8, steps=300, lr=4e-3, warmup=30,
        evaluations=1, execution="stacked",
    ), description="shape and budget of the two models")  # fmt: skip
    conditional_passes: float = Field(
        default=1.0, gt=0, description="passes of the conditional model over the target's tokens"
    )
    conditional_steps: int = Field(default=200, ge=1, description="most steps of the conditional model")
    conditional_lr: float = Field(default=1e-3, gt=0, description="learning rate of the conditional model")
    vocab_size: int = Field(
        default=4096, ge=258, description="entries of the tokenizer that is trained where none is given"
    )
    details: bool = Field(default=False, description="learnability, Min-K%++ and DC-PDD too")


class ZipfitSettings(BaseModel, frozen=True, extra="forbid"):
    """Cost is documents x examples compressions."""

    examples: int = Field(
        default=24,
        ge=1,
        description="target examples that each document is compressed with; cost is documents times examples",
    )
    piece_bytes: int = Field(
        default=4096, ge=64, le=WINDOW // 2, description="bytes of documents and of examples that are compressed"
    )
    level: int = Field(default=6, ge=1, le=9, description="zlib's level")


class ScoreSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What to score with, and for what."""

    method: str = Field(
        description="color, pair, perplexity, dsir, zipfit, rds or transport",
        json_schema_extra={"cli": {"argument": True}},
    )
    name: str | None = Field(
        default=None, pattern="^[a-z][a-z0-9_]*$", description="of the table scores/NAME; default: the method's own"
    )
    targets: tuple[File, ...] = Field(
        default=(),
        description="what is wanted: a domain's name or a file of texts; may be repeated",
        json_schema_extra={"cli": {"option": "--target"}},
    )
    models: dict[str, Folder] = Field(
        default={},
        description="NAME=FILE, or a run's folder; of a pair: the first's loss minus the second's",
        json_schema_extra={"cli": {"option": "--model"}},
    )
    tokenizer: File | None = Field(
        default=None,
        description="a tokenizer.json; default: the workspace's, else one that is trained on the sample",
    )
    seed: int = Field(default=0, description="seed of samples and models; equal seeds give equal bytes")
    sample_bytes: int = Field(
        default=8_000_000, ge=1, description="bytes of the random sample that a method is fitted to"
    )
    target_bytes: int = Field(default=2_000_000, ge=1, description="bytes of each target that a method is fitted to")
    chunk_tokens: int | None = Field(
        default=None, ge=2, description="tokens read at a time by a pair; default: 512, or what its models can read"
    )
    details: bool = Field(default=False, description="of pairs: learnability, Min-K%++ and DC-PDD too")
    queries: int = Field(default=256, ge=1, description="documents of each target that embeddings are compared with")
    regularization: float = Field(default=0.05, gt=0, description="of the transport, relative to the mean cost")
    color: ColorSettings = Field(default=ColorSettings(), description="of CoLoR-Filter's two models")
    zipfit: ZipfitSettings = Field(default=ZipfitSettings(), description="of ZIP-FIT")

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS and method not in extensions("scores"):
            raise unknown_name("scoring method", method, (*METHODS, *extensions("scores")))
        return method

    @property
    def table(self) -> str:
        return self.name or self.method

    def checked(self) -> "ScoreSettings":
        """Itself; a RequestError where the method lacks something it needs."""
        if self.method in TARGETED and not self.targets:
            raise RequestError(f"score {self.method} needs a --target: a domain's name, or a file of texts")
        if self.method not in METHODS:
            return self  # another package's; it looks at its own needs when it is fitted
        wanted = {"pair": 2, "perplexity": 1, "rds": 1, "transport": 1}.get(self.method, 0)
        if len(self.models) != wanted:
            raise RequestError(f"score {self.method} takes {wanted} --model NAME=FILE, got {len(self.models)}")
        return self
