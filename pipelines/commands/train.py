"""`gristmill train`."""

import os
import sys
from typing import Annotated, Any

import typer

from ...corpus.store.workspace import Workspace
from .options import ForceOption, JsonOption, WorkspaceOption, settings_file, settings_of, show


def train(
    workspace: WorkspaceOption,
    recipe: Annotated[str | None, typer.Argument(help="a recipe.yaml; without it, the workspace's own")] = None,
    name: Annotated[str | None, typer.Option(help="name of the run; the recipe's name without it")] = None,
    model: Annotated[
        str | None, typer.Option(help="1m (default), 4m, 15m, 60m, 150m, 350m, 1b, LAYERSxWIDTHxHEADS")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="train on so many tokens instead of the recipe's total")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="tokens per step, over all ranks")] = None,
    seed: Annotated[int | None, typer.Option(help="of the weights and of the order of data")] = None,
    branch: Annotated[str | None, typer.Option(help="a checkpoint, or a run, whose weights to start from")] = None,
    online: Annotated[str | None, typer.Option(help="ado: shares follow what still lowers each domain's loss")] = None,
    settings: Annotated[str | None, typer.Option(help="YAML file of settings, as below")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="refuse to start anew: there must be a checkpoint")] = False,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Pre-train a transformer by a recipe, on the token shards of the workspace.

    Writes runs/<name>/: metrics.jsonl, checkpoints and run_card.json. The same command goes on where a stopped run was.
    On several GPUs: torchrun --nproc-per-node 8 -m gristmill.pipelines.cli train ...

    --settings FILE holds what has no option of its own: loop (optimiser, schedule, reweighting, teacher, z_loss,
    document_mask, evaluate_every, tensorboard, ...), shape, packing, curriculum, conditioning, upsample, replay,
    subset, max_epochs, targets, online (every, warmup, least): the train section of a settings file. See continual,
    meco and salt in examples/.

    Example: gristmill train W/mixture/recipe.yaml --workspace W --model 4m --resume
    """
    from ..stages.train.stage import TrainSettings
    from ..stages.train.stage import train as run_train

    values: dict[str, Any] = settings_file(settings) if settings else {}
    given = {
        "recipe": recipe,
        "name": name,
        "model": model,
        "tokens": tokens,
        "batch_tokens": batch_tokens,
        "seed": seed,
        "branch": branch,
    }
    values |= {key: value for key, value in given.items() if value is not None}
    if online is not None:
        values["online"] = {**(values.get("online") or {}), "policy": online}
    card = run_train(Workspace(workspace), settings_of(TrainSettings, **values), resume, force, quiet=json)
    if os.environ.get("RANK", "0") != "0":
        return  # under torchrun the first rank speaks for all
    if json:
        show(card, True)
        return
    measured = ", ".join(f"{domain} {value:.4f}" for domain, value in card["bits_per_byte"].items())
    sys.stdout.write(f"train: {card['steps']} steps, {card['tokens']:,} tokens, loss {card['loss']:.4f}\n")
    sys.stdout.write(f"train: held-out bits per byte: {measured or 'not measured'}\n")
    if card.get("online"):
        first, last = (phase["shares"] for phase in (card["online"][0], card["online"][-1]))
        moved = ", ".join(f"{domain} {share:.3f} to {last[domain]:.3f}" for domain, share in first.items())
        sys.stdout.write(f"train: shares moved from the recipe's: {moved}\n")
    cost = card["cost"]
    used = "n/a" if cost["mfu"] is None else f"{cost['mfu']:.1%} of {cost['peak_flops'] / 1e12:.0f} TFLOP/s"
    sys.stdout.write(
        f"train: {cost['flops']:.3g} FLOPs in {cost['device_seconds']:.0f} device seconds, "
        f"{cost['tokens_per_second']:,.0f} tokens/s, MFU {used}\n"
    )
    for warning in card["warnings"]:
        sys.stdout.write(f"train: {warning}\n")
