"""Ranks: started by torchrun, wrapped by DDP or FSDP2, and nothing at all in a single process.

Every rank reads its part of the same stream and gradients are averaged, so one rank and many train alike up to the
order of sums. Refuses FSDP2 without torchrun.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..corpus.store.errors import RequestError
from .transformer import Block


@dataclass(frozen=True)
class Ranks:
    """Which process this is among how many."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Summed over ranks, in place."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def gather(self, value: Tensor) -> Tensor:
        """(R,) of every rank, in the order of ranks."""
        if self.world == 1:
            return value
        parts = [torch.empty_like(value) for _ in range(self.world)]
        dist.all_gather(parts, value)
        return torch.cat(parts)

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()


@contextmanager
def ranks(device: torch.device) -> Iterator[Ranks]:
    """The process group that torchrun's environment describes, or a single rank."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    found = Ranks(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(found.local)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield found
    finally:
        dist.destroy_process_group()


def wrap(module: nn.Module, strategy: str, found: Ranks, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The module whose gradients are averaged over ranks. `auto` is DDP on several ranks."""
    if strategy == "fsdp" and found.world == 1:
        raise RequestError("fsdp shards over ranks; start the command with torchrun --nproc-per-node N")
    if found.world == 1:
        return module
    if strategy == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(device.type, (found.world,))
        options: dict[str, Any] = {"mesh": mesh}
        if dtype != torch.float32:
            # inputs keep their dtype: weights of tokens in bfloat16 would scale gradients by up to 0.4 %
            options["mp_policy"] = MixedPrecisionPolicy(dtype, torch.float32, cast_forward_inputs=False)
        for part in module.modules():
            if isinstance(part, Block):
                fully_shard(part, **options)
        fully_shard(module, **options)
        return module
    devices = [device.index or found.local] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


def full(tensors: dict[str, Tensor], found: Ranks) -> dict[str, Tensor]:
    """Sharded tensors gathered whole, one at a time, and kept by the leading rank alone, on its CPU; every rank must
    call it."""
    kept = {}
    for name, tensor in tensors.items():
        whole = tensor.full_tensor().cpu() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[attr-defined]
        if found.leads:
            kept[name] = whole
    return kept


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """A whole tensor laid out as `model` is: sharded over its mesh, or as it was."""
    if not tensor.ndim:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(model, DTensor):
        return tensor

    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)
