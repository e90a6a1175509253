"""A step of a group without a look at its numbers: what a CUDA graph can hold, captured once and replayed.

Inputs that change from step to step (where the rows begin, the learning rates) are copied into tensors that the graph
reads; losses, life and the number of updates stay on the device. `body` is ordinary torch and runs on a CPU too, where
it has to agree with `Group.step`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..settings import FleetSettings
from .group import Group
from .order import DataOrder
from .pool import TokenPool
from .stacked_optimizer import clip, norms

WARM_UP = 3  # steps before the capture, so that libraries choose their kernels; their effect is undone


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
        if group.settings.clip is not None:
            clip(gradients, norm, group.settings.clip, graphed=True)
        with torch.no_grad():
            group.update.elementwise(group.weights, gradients, group.adam, self.rates, alive, self.updates)
        self.losses.copy_(torch.where(alive, loss, torch.nan))

    def run(self) -> torch.Tensor:
        """One step. Returns the losses (K,) on the device, which the next step overwrites."""
        group = self.group
        self.starts.copy_(torch.from_numpy(group.order.starts(group.step_done)), non_blocking=True)
        now = group.settings.rate(group.step_done)
        self.rates.copy_(torch.tensor([rate * now for rate in group.rates]), non_blocking=True)
        if group.device != "cuda":
            self.body()
        else:
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
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.body()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.body()
        with torch.no_grad():
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(old)


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
) -> Group:
    """The group of these models, as its device takes it."""
    kind = GraphedGroup if settings.where() == "cuda" else Group
    return kind(pool, order, settings, rates, states)
