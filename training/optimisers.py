"""Optimisers under one roof: AdamW (fused), Muon, Lion and Sophia, with weight decay on matrices only.

Every optimiser sees the same parameter groups: matrices of the blocks decay; embedding, head and norms do not. Muon
orthogonalises the update of the block matrices and leaves the rest to AdamW. State is saved under parameter names.
Sophia expects `estimate` every few steps, with the gradients of a loss on labels drawn from the model.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..corpus.store.errors import WorkspaceError
from .distributed import like
from .loop_settings import OptimiserSettings as OptimiserSettings

# what each optimiser remembers of a parameter
STATE = {
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Muon": {"momentum_buffer"},
    "Lion": {"exp_avg"},
    "Sophia": {"exp_avg", "hessian"},
}


class Lion(torch.optim.Optimizer):
    """Sign of interpolated momentum (Chen et al. 2023). Rates are about a tenth of AdamW's, decay ten times."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] (no closure is called: nothing to return)
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                average = state["exp_avg"]
                direction = torch.lerp(parameter.grad, average, beta1).sign_()
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                average.lerp_(parameter.grad, 1.0 - beta2)


class Sophia(torch.optim.Optimizer):
    """Momentum over a clipped diagonal Hessian (Liu et al. 2023, Sophia-G). `estimate` feeds the Hessian."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], weight_decay: float, gamma: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "gamma": gamma})

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["exp_avg"], state["hessian"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    @torch.no_grad()
    def estimate(self, tokens: float) -> None:
        """Take the gradients in place, those of a loss on labels drawn from the model, as a Gauss-Newton estimate."""
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                hessian = self._state(parameter)["hessian"]
                hessian.mul_(group["betas"][1]).addcmul_(
                    parameter.grad, parameter.grad, value=(1.0 - group["betas"][1]) * tokens
                )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] (no closure is called: nothing to return)
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self._state(parameter)
                average = state["exp_avg"].lerp_(parameter.grad, 1.0 - group["betas"][0])
                ratio = average / (group["gamma"] * state["hessian"]).clamp_(min=1e-12)
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(ratio.clamp_(-1.0, 1.0), alpha=-group["lr"])


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix of a block: what decays, and what Muon orthogonalises."""
    return parameter.ndim == 2 and "blocks." in name


class Optimiser:
    """One or two torch optimisers over a model, a rate factor, and a state keyed by parameter names."""

    def __init__(self, model: nn.Module, settings: OptimiserSettings) -> None:
        self.settings = settings
        self.named = {plain(name): p for name, p in model.named_parameters()}
        matrices = [p for name, p in self.named.items() if is_matrix(name, p)]
        others = [p for name, p in self.named.items() if not is_matrix(name, p)]
        decay = {"params": matrices, "weight_decay": settings.weight_decay}
        rest = {"params": others, "weight_decay": 0.0}
        betas = (settings.beta1, settings.beta2)
        if settings.name == "lion":
            self.parts: list[torch.optim.Optimizer] = [Lion([decay, rest], settings.rate, betas, 0.0)]
        elif settings.name == "sophia":
            self.parts = [Sophia([decay, rest], settings.rate, betas, 0.0, settings.gamma)]
        elif settings.name == "muon":
            muon = torch.optim.Muon(
                matrices, lr=settings.muon_rate, weight_decay=settings.weight_decay, momentum=0.95, nesterov=True
            )
            self.parts = [muon, torch.optim.AdamW([rest], settings.rate, betas, fused=fusable(others))]
        else:
            self.parts = [torch.optim.AdamW([decay, rest], settings.rate, betas, fused=fusable(matrices + others))]
        for part in self.parts:
            for group in part.param_groups:
                group["peak"] = group["lr"]

    def step(self, factor: float) -> None:
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak"] * factor
            part.step()

    def estimates(self, step: int) -> bool:
        """Whether the curvature is due to be estimated after this step."""
        return self.settings.name == "sophia" and step % self.settings.every == 0

    def estimate(self, tokens: int) -> None:
        """Take the gradients in place as those of a loss on drawn labels, averaged over `tokens`."""
        for part in self.parts:
            if isinstance(part, Sophia):
                part.estimate(tokens)

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def clip(self) -> Tensor | None:
        """Scale the gradients to the largest norm allowed; the norm before, or None where nothing is clipped."""
        if self.settings.clip == 0:
            return None
        return torch.nn.utils.clip_grad_norm_(self.named.values(), self.settings.clip, foreach=True)

    def state(self) -> dict[str, Tensor]:
        """name/key -> tensor, every buffer of every parameter."""
        names = {id(p): name for name, p in self.named.items()}
        found = {}
        for part in self.parts:
            for parameter, buffers in part.state.items():
                for key, value in buffers.items():
                    tensor = value if isinstance(value, Tensor) else torch.tensor(float(value))
                    found[f"{names[id(parameter)]}/{key}"] = tensor
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` gave; refuses a state that is not of these parameters."""
        owner = {id(p): part for part in self.parts for group in part.param_groups for p in group["params"]}
        for part in self.parts:
            part.state.clear()
        for name, value in state.items():
            parameter_name, key = name.rsplit("/", 1)
            parameter = self.named.get(parameter_name)
            if parameter is None or (value.ndim and value.shape != parameter.shape):
                raise WorkspaceError(f"the checkpoint's optimiser state has {name}, which this model has not")
            on_device = value.ndim > 0 or fusable([parameter])
            place = parameter.device if on_device else torch.device("cpu")
            owner[id(parameter)].state[parameter][key] = like(value.to(place, copy=True), parameter)
        for part in self.parts:
            wanted = STATE[type(part).__name__]
            lacking = [
                p for buffers in part.state.values() if not wanted <= buffers.keys() for p in wanted - buffers.keys()
            ]
            if lacking:
                raise WorkspaceError(
                    f"the checkpoint's optimiser state lacks {min(lacking)}, which {self.settings.name} needs; "
                    f"it is that of another optimiser, so train under another --name"
                )


def fusable(parameters: Iterable[Tensor]) -> bool:
    """Whether torch's fused AdamW takes these: plain tensors on a CPU or a CUDA device."""
    return all(type(p.data) is Tensor and p.device.type in ("cpu", "cuda") for p in parameters)


def plain(name: str) -> str:
    """A parameter's name without what wrapping and compiling put before it."""
    for prefix in ("module.", "_orig_mod.", "model."):
        name = name.replace(prefix, "")
    return name
