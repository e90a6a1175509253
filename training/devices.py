"""Devices: which one, its dtype, its peak, and the share of it that a run uses.

MFU is FLOPs per token times tokens per second over the peak of dense bfloat16 products that the maker states. A device
that is not in the table has no peak here, and MFU is then not available rather than guessed.
"""

import torch

from ..corpus.store.errors import RequestError

# first match of the device's name -> dense bfloat16 FLOP/s
PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
}


def pick_device(asked: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one; anything else must exist."""
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError("device cuda was asked for, but torch finds none here; set loop.device to cpu or auto")
    return device


def pick_dtype(asked: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on CUDA and float32 elsewhere. Weights are float32 in any case."""
    if asked == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[asked]


def peak(device: torch.device) -> float | None:
    """FLOP/s of the device, None where the table does not know it."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((value for known, value in PEAKS.items() if known in name), None)


def mfu(flops_per_token: float, tokens_per_second: float, device: torch.device, count: int = 1) -> float | None:
    """Model FLOPs utilisation of `count` such devices, None where the peak is unknown."""
    limit = peak(device)
    return None if limit is None else flops_per_token * tokens_per_second / (limit * count)
