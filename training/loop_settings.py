"""Settings of the pre-training loop, and which of them may change while a run is stopped. Imports nothing heavy."""

from typing import Any, Literal

from pydantic import BaseModel, Field, NonNegativeFloat, model_validator

from .schedules import Schedule

# what differs from AdamW's where nothing is said: the values of each one's paper or reference implementation
PUBLISHED: dict[str, dict[str, float]] = {
    "muon": {"weight_decay": 0.01},
    "lion": {"rate": 2e-4, "beta2": 0.99, "weight_decay": 1.0},
    "sophia": {"beta1": 0.965, "beta2": 0.99, "weight_decay": 0.2},
}


class OptimiserSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """`rate` is the peak; a schedule multiplies it. The values below are AdamW's, see PUBLISHED for the others."""

    name: Literal["adamw", "muon", "lion", "sophia"] = Field(
        default="adamw",
        description="adamw, muon, lion or sophia; values not given are those published with each",
    )
    rate: float = Field(default=2e-3, gt=0, description="peak of the learning rate, which the schedule multiplies")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="decay of the second moment")
    weight_decay: float = Field(default=0.1, ge=0, description="decoupled decay of matrices")
    clip: float = Field(default=1.0, ge=0, description="largest norm of the gradient; 0: no clipping")
    muon_rate: float = Field(
        default=0.02, gt=0, description="rate of the matrices under Muon; `rate` is that of the rest"
    )
    gamma: float = Field(default=0.05, gt=0, description="Sophia: share of the curvature in the clipped quotient")
    every: int = Field(default=10, ge=1, description="Sophia: steps between Hessian estimates")

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return PUBLISHED.get(str(given.get("name")), {}) | given


Strategy = Literal["none", "linupper", "quadratic", "extremes"]


class Reweighting(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """`warmup` is the fraction of the run with uniform weights; the temperature then falls to `temperature`."""

    strategy: Strategy = Field(
        default="none", description="none, linupper, quadratic or extremes: how a sample's loss sets its weight"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the weights once the warm-up is over")
    warmup: float = Field(default=0.1, ge=0, le=1, description="fraction of the run with uniform weights")
    offset: float = Field(
        default=0.4, description="linupper: losses are cut above 1 - offset, so outliers weigh no more than hard rows"
    )


class Teacher(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Who teaches, for how long, and how much its labels count. Published for a 1.5B teacher of a 2.8B student: the
    first 17 % of the steps and k of 10."""

    checkpoint: str = Field(description="a checkpoint, or the folder of a run, of a model with the same tokenizer")
    until: float = Field(default=0.17, gt=0, le=1, description="fraction of the run that is taught")
    k: int = Field(default=10, ge=1, description="most likely tokens that are stored of each label")
    temperature: float = Field(default=1.0, gt=0, description="of the teacher's softmax")
    share: float = Field(default=0.5, ge=0, le=1, description="weight of the teacher's labels beside the true one")


class SampleSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a model is asked to write whenever held-out text is measured. It shapes no weight."""

    prompts: tuple[str, ...] = Field(
        default=("",), min_length=1, description="beginnings that the model writes on behind; empty: nothing is given"
    )
    tokens: int = Field(default=64, ge=1, description="that it writes at most behind each")
    temperature: float = Field(default=0.8, ge=0, description="of the draws; 0: the most likely token each time")
    seed: int = Field(default=0, ge=0, description="of the draws; equal weights and seeds give equal text")


class LoopSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How to train; what to train on is the loader's."""

    optimiser: OptimiserSettings = Field(default=OptimiserSettings(), description="what updates the weights")
    schedule: Schedule = Field(default=Schedule(), description="how the learning rate moves")
    reweighting: Reweighting = Field(default=Reweighting(), description="how a sample's loss sets its weight")
    micro_tokens: int | None = Field(
        default=None, ge=1, description="tokens per forward pass and rank; default: the whole step at once"
    )
    z_loss: float = Field(default=0.0, ge=0, description="weight of the squared log-partition in the loss; 0: none")
    loss_weights: dict[str, NonNegativeFloat] = Field(
        default={}, description="domain -> factor of its tokens' loss; 1 where not named"
    )
    document_mask: bool = Field(default=False, description="attention stays within documents")
    teacher: Teacher | None = Field(
        default=None, description="soft labels for the first part of the run; default: none"
    )
    evaluate_every: int = Field(default=0, ge=0, description="steps between two evaluations; 0: at the end only")
    checkpoint_every: int = Field(default=100, ge=1, description="steps between two checkpoints")
    keep: int = Field(default=2, ge=1, description="newest checkpoints that stay on disk")
    log_every: int = Field(default=10, ge=1, description="steps between two lines of metrics.jsonl")
    spike_sigma: float = Field(
        default=8.0, gt=0, description="deviations above the last losses at which a loss is a spike"
    )
    spike_window: int = Field(default=64, ge=8, description="losses that a spike is judged by")
    rollbacks: int = Field(default=3, ge=0, description="spikes after which the run fails")
    device: str = Field(default="auto", description="auto: cuda where there is one, else cpu")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on cuda, else float32"
    )
    compile: bool | None = Field(default=None, description="compile the model; default: on cuda only")
    parallel: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto", description="how several ranks share the work; auto: by the model's size"
    )
    tensorboard: bool = Field(default=False, description="write TensorBoard events beside metrics.jsonl")
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = Field(
        default=(), description="who is told every report beside metrics.jsonl; each is an extra of its name"
    )
    project: str = Field(default="gristmill", description="under which wandb, mlflow and trackio file the run")

    @property
    def boards(self) -> tuple[str, ...]:
        """Who is told the reports."""
        return (*(("tensorboard",) if self.tensorboard else ()), *self.loggers)


# what may change between stopping and going on: none of it changes the weights
FREE = {
    "evaluate_every", "checkpoint_every", "keep", "log_every", "device", "compile", "parallel", "tensorboard",
    "loggers", "project",
}  # fmt: skip
