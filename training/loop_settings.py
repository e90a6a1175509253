"""Settings of the pre-training loop, and which of them may change while a run is stopped."""

from typing import Literal

from pydantic import BaseModel, Field

from . import schedules
from .objectives.distillation import Teacher
from .objectives.reweighting import Reweighting
from .optimisers import OptimiserSettings


class LoopSettings(BaseModel, frozen=True, extra="forbid"):
    """How to train; what to train on is the loader's."""

    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: schedules.Schedule = schedules.Schedule()
    reweighting: Reweighting = Reweighting()
    micro_tokens: int | None = Field(
        default=None, ge=1
    )  # tokens per forward pass and rank; None: the whole step at once
    z_loss: float = Field(default=0.0, ge=0)
    loss_weights: dict[str, float] = {}  # domain -> factor of its tokens' loss; 1 where not named
    document_mask: bool = False  # attention stays within documents
    teacher: Teacher | None = None  # soft labels for the first part of the run
    evaluate_every: int = Field(default=0, ge=0)  # steps; 0: at the end only
    checkpoint_every: int = Field(default=100, ge=1)
    keep: int = Field(default=2, ge=1)  # checkpoints
    log_every: int = Field(default=10, ge=1)
    spike_sigma: float = Field(
        default=8.0, gt=0
    )  # a loss this many deviations above the last `spike_window` is a spike
    spike_window: int = Field(default=64, ge=8)
    rollbacks: int = Field(default=3, ge=0)  # after so many the run fails
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool | None = None  # None: on CUDA
    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    tensorboard: bool = False


# what may change between stopping and going on: none of it changes the weights
FREE = {"evaluate_every", "checkpoint_every", "keep", "log_every", "device", "compile", "parallel", "tensorboard"}
