"""`gristmill mix ladder`: do small proxies rank mixtures as larger ones do?"""

import sys
from typing import Annotated, Any

import typer

from ...corpus.store.errors import RequestError
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of


def ladder(
    context: typer.Context,
    workspace: WorkspaceOption,
    mixtures: Annotated[int, typer.Option(help="trained at every size")] = 8,
    widths: Annotated[str, typer.Option(help="of the models, smallest first")] = "32,64,128",
    steps: Annotated[int, typer.Option(help="training steps of each model")] = 200,
    replicates: Annotated[int, typer.Option(help="extra seeds of the natural mixture: the noise of a size")] = 2,
    seed: Annotated[int, typer.Option(help="of the design and of the models")] = 0,
    as_json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Train the same mixtures at several model sizes and say how far their order carries over.

    Writes mixture/ladder/. Rank correlation and the share of pairs in the same order, from each size to the next.

    Example: gristmill mix ladder --workspace W --widths 32,64 --mixtures 6
    """
    from ..stages.mix.ladder import LadderSettings
    from ..stages.mix.ladder import ladder as stage

    numbers = widths.split(",")
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise RequestError(f"--widths {widths}: expected numbers as 32,64,128")
    settings = settings_of(
        LadderSettings,
        mixtures=mixtures,
        replicates=replicates,
        proxy={"steps": steps, "evaluations": min(4, steps), "warmup": min(20, steps // 5)},
        sizes={f"d{number}": {"d_model": int(number)} for number in numbers},
        seed=seed,
    )
    summary = run_and_show(context, stage, workspace, settings, workers=workers, force=force, as_json=as_json)
    if not as_json:
        sys.stdout.write(ladder_lines(summary["details"]))


def ladder_lines(details: dict[str, Any]) -> str:
    """One line for each pair of sizes."""
    lines = [
        f"  {rung['small']} to {rung['large']}: Spearman {rung['mean']['spearman']:.3f}, "
        f"{rung['mean']['pairwise']:.0%} of pairs in the same order (mean of targets, {rung['mixtures']} mixtures)"
        for rung in details["rungs"]
    ]
    lines += [
        f"  {size}: deviation between seeds {sum(by.values()) / len(by):.4f} bits per byte"
        for size, by in details["noise"].items()
    ]
    return "\n".join(lines) + "\n"
