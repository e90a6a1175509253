"""The run card: what was trained on what, what it reached and what it cost. Refuses nothing."""

from typing import Any, Protocol

import numpy as np
import torch

from .data.loader import Loader
from .data.online import Online
from .data.repetition import repetition_warnings
from .devices import mfu, peak
from .distributed import Ranks
from .transformer import Transformer


class Trained(Protocol):
    """What the loop has in hand when it ends."""

    loader: Loader
    model: Transformer
    online: Online | None
    ranks: Ranks
    device: torch.device
    prints: dict[str, str]
    line: dict[str, Any]  # the last of metrics.jsonl
    counts: np.ndarray  # (D,) int64 targets with loss
    step: int
    rolled_back: int
    seconds: float  # of training, all stretches together
    flops: float  # of a token


def run_card(run: Trained) -> dict[str, Any]:
    """Of a run that has ended. `tokens` are those read, padding included; `realised` counts the targets with loss."""
    loader = run.loader
    plan = loader.plan()
    total = max(1, int(run.counts.sum()))
    realised = {
        name: {
            "tokens": int(count),
            "share": int(count) / total,
            "epochs": int(count) / max(1, loader.domains[name].tokens),
        }
        for name, count in zip(loader.names, run.counts, strict=True)
    }
    tokens = run.step * loader.batch_tokens
    speed = tokens / max(run.seconds, 1e-9)
    return {
        "steps": run.step,
        "tokens": tokens,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "model": vars(run.model.config),
        "reading": vars(run.model.reading),
        "bits_per_byte": run.line.get("bits_per_byte", {}),
        "targets": run.line.get("targets", {}),
        "loss": run.line["loss"],
        "realised": realised,
        "plan": plan,
        "online": run.online and run.online.told(),
        "warnings": repetition_warnings(plan),
        "rollbacks": run.rolled_back,
        "fingerprints": run.prints,
        "data": {name: domain.fingerprint for name, domain in loader.domains.items()},
        "cost": {
            "flops": run.flops * tokens,
            "flops_per_token": run.flops,
            "device_seconds": run.seconds * run.ranks.world,
            "tokens_per_second": speed,
            "mfu": mfu(run.flops, speed, run.device, run.ranks.world),
            "peak_flops": peak(run.device),
            "mfu_is": "flops_per_token * tokens_per_second / (peak_flops * ranks); null where no peak is known",
            "device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "cpu",
            "ranks": run.ranks.world,
        },
    }
