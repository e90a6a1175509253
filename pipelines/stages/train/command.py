"""`train`: the run, and what is said of it."""

import os
import sys
from typing import Any

from ....corpus.store.workspace import Workspace
from ...engine.invocation import Invocation
from ...engine.runner import RunnerOptions
from .options import TrainOptions
from .settings import TrainSettings


def run_train(
    workspace: Workspace, settings: TrainSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Train; the run card under `details`. The runner's options do not matter to it."""
    from .stage import train

    return {"stage": "train", "details": train(workspace, settings, force=force, quiet=quiet)}


def act(asked: Invocation) -> list[dict[str, Any]]:
    """Train, and print what the run reached: the card alone for machines, under `details` for a program."""
    from .stage import train

    options: TrainOptions = asked.options
    card = train(asked.workspace, asked.settings(), options.resume, asked.force, quiet=asked.quiet)
    if os.environ.get("RANK", "0") != "0":
        return []  # under torchrun the first rank speaks for all
    if asked.library:
        return [{"stage": "train", "details": card}]
    if asked.quiet:
        return [card]
    sys.stdout.write(lines(card))
    return []


def lines(card: dict[str, Any]) -> str:
    """What a run reached, what it cost, and what it warns of."""
    said: list[str] = []
    measured = ", ".join(f"{domain} {value:.4f}" for domain, value in card["bits_per_byte"].items())
    said.append(f"train: {card['steps']} steps, {card['tokens']:,} tokens, loss {card['loss']:.4f}\n")
    said.append(f"train: held-out bits per byte: {measured or 'not measured'}\n")
    bare = [domain for domain in card["realised"] if domain not in card["bits_per_byte"]]
    if bare and measured:
        said.append(f"train: nothing is held out of {', '.join(bare)}, so what was learnt of it is not measured\n")
    if card.get("online"):
        first, last = (phase["shares"] for phase in (card["online"][0], card["online"][-1]))
        moved = ", ".join(f"{domain} {share:.3f} to {last[domain]:.3f}" for domain, share in first.items())
        said.append(f"train: shares moved from the recipe's: {moved}\n")
    cost = card["cost"]
    used = "n/a" if cost["mfu"] is None else f"{cost['mfu']:.1%} of {cost['peak_flops'] / 1e12:.0f} TFLOP/s"
    said.append(
        f"train: {cost['flops']:.3g} FLOPs in {cost['device_seconds']:.0f} device seconds, "
        f"{cost['tokens_per_second']:,.0f} tokens/s, MFU {used}\n"
    )
    for warning in card["warnings"]:
        said.append(f"train: {warning}\n")
    return "".join(said)
