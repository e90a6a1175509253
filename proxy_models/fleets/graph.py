"""A step of a group without a look at its numbers: what a CUDA graph can hold, captured once and replayed.

Inputs that change from step to step (where the rows begin, the learning rates) are copied into tensors that the graph
reads; losses, life and the number of updates stay on the device. `body` is ordinary torch and runs on a CPU too, where
it has to agree with `Group.step`.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..settings import FleetSettings
from . import heads
from .group import Group
from .order import DataOrder
from .pool import TokenPool
from .stacked_optimizer import norms, scales

WARM_UP = 3  # steps before the capture, so that libraries choose their kernels; their effect is undone
CAPTURING = threading.Lock()  # a capture empties the cache of every device first, which would end another one


class GraphedStep:
    """The step of one group as tensors in, tensors out."""

    def __init__(self, group: Group) -> None:
        self.group = group
        models, device = group.net.models, group.device
        self.starts = torch.zeros((models, group.settings.sequences), dtype=torch.int64, device=device)
        self.rates = torch.zeros(models, device=device)
        self.updates = torch.tensor(float(group.adam.updates), device=device)
        self.stopped = torch.tensor(group.stopped, device=device)
        self.losses = torch.zeros(models, device=device)
        self.update = _update_of(group)
        self.graph: torch.cuda.CUDAGraph | None = None

    def body(self) -> None:
        """One update of every living model, without a branch on data."""
        group = self.group
        loss, gradients = group.gradients(group.rows(self.starts))
        norm = norms(gradients)
        limit = 2 * math.log(group.pool.vocab_size) + 1
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm) & (loss <= limit))
        self.stopped.copy_(torch.where(bad & (self.stopped < 0), self.updates.long(), self.stopped))
        alive = self.stopped < 0
        with torch.no_grad():
            self.update(
                group.weights, gradients, group.adam, self.rates, alive, self.updates, scales(norm, group.settings.clip)
            )
        self.losses.copy_(torch.where(alive, loss, torch.nan))

    def run(self) -> torch.Tensor:
        """One step. Returns the losses (K,) on the device, which the next step overwrites."""
        group = self.group
        self.starts.copy_(torch.from_numpy(group.order.starts(group.step_done)), non_blocking=True)
        now = group.settings.rate(group.step_done)
        self.rates.copy_(torch.tensor([rate * now for rate in group.rates]), non_blocking=True)
        if torch.device(group.device).type != "cuda":
            self.body()
        else:
            with torch.cuda.device(group.device):
                if self.graph is None:
                    self._capture()
                assert self.graph is not None
                self.graph.replay()
        group.adam.updates += 1
        group.step_done += 1
        return self.losses

    def _capture(self) -> None:
        group = self.group
        state = [*group.weights, *group.adam.first, *group.adam.second, self.updates, self.stopped]
        before = [tensor.detach().clone() for tensor in state]
        with CAPTURING:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self.body()
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            # other threads may train on other devices meanwhile: what they do is none of this graph's business
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.body()
        with torch.no_grad():
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(old)


def _update_of(group: Group) -> Callable[..., None]:
    """The optimiser's update: in one pass over memory where there is a kernel for it."""
    if not heads.has_kernels(group.device):
        return group.update.elementwise
    from . import gpu_kernels

    return partial(gpu_kernels.adamw, group.update)


class GraphedGroup(Group):
    """A group whose steps are replays of a captured one: on a GPU."""

    _graph: GraphedStep | None = None

    def step(self) -> Tensor:
        """As of a group; the losses are overwritten by the next step."""
        if self._graph is None:  # not before the state of an earlier run was read
            self._graph = GraphedStep(self)
        return self._graph.run()

    def lives(self) -> np.ndarray:
        return self.stopped if self._graph is None else self._graph.stopped.cpu().numpy().copy()


def group_of(
    pool: TokenPool,
    order: DataOrder,
    settings: FleetSettings,
    rates: Sequence[float],
    states: Sequence[Mapping[str, Tensor]] | None = None,
    device: str | None = None,
) -> Group:
    """The group of these models, as its device takes it; `device` is one of several, default: what settings say."""
    device = device or settings.where()
    kind = GraphedGroup if torch.device(device).type == "cuda" else Group
    return kind(pool, order, settings, rates, states, device)
