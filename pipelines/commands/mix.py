"""`gristmill mix`: search the mixture of a workspace, or fit one on CSV files of mixtures and losses."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ...corpus.refusal import RequestError
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of

mix = typer.Typer(no_args_is_help=False, rich_markup_mode=None)


@mix.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    workspace: WorkspaceOption = "",
    mixtures: Annotated[int, typer.Option(help="mixtures in the swarm, one proxy each")] = 32,
    target: Annotated[list[str], typer.Option(help="DOMAIN or DOMAIN=WEIGHT; repeat for several; all alike")] = [],  # noqa: B006
    total_tokens: Annotated[int, typer.Option(help="tokens of the run the recipe is for; 0: every token once")] = 0,
    max_epochs: Annotated[float, typer.Option(help="passes over a domain that the run may make")] = 4.0,
    steps: Annotated[int, typer.Option(help="training steps of a proxy")] = 200,
    d_model: Annotated[int, typer.Option(help="width of a proxy")] = 64,
    seeds: Annotated[int, typer.Option(help="seeds of each validated mixture")] = 3,
    seed: Annotated[int, typer.Option(help="of the design and of the proxies")] = 0,
    as_json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Find the mixture of domains that trains the best model, by proxies.

    Trains a swarm of small models on different mixtures, fits each held-out domain's loss, optimises the target under
    the epoch cap, trains the result again beside the natural and the uniform mixture, and writes mixture/recipe.yaml.

    Example: gristmill mix --workspace W --target books=2 --target web=1
    """
    if context.invoked_subcommand is not None:
        return
    if not workspace:
        raise RequestError("mix needs --workspace W (or: gristmill mix fit --mixtures A.csv --losses B.csv)")
    from ..mix import MixSettings
    from ..mix import mix as stage

    settings = settings_of(
        MixSettings,
        proxy={"steps": steps, "d_model": d_model, "d_ff": 3 * d_model, "evaluations": min(4, steps)},
        mixtures=mixtures,
        target=parse_targets(target),
        total_tokens=total_tokens or None,
        max_epochs=max_epochs,
        seeds=seeds,
        seed=seed,
    )
    summary = run_and_show(context, stage, workspace, settings, workers=workers, force=force, as_json=as_json)
    if not as_json:
        sys.stdout.write(mixture_lines(summary["details"]))


@mix.command("fit")
def fit(
    mixtures: Annotated[str, typer.Option(help="CSV: an id column, then one column of token shares per domain")],
    losses: Annotated[str, typer.Option(help="CSV: the same ids, then one column of losses per target")],
    target: Annotated[list[str], typer.Option(help="COLUMN or COLUMN=WEIGHT of the losses; default: all alike")] = [],  # noqa: B006
    evaluate_mixtures: Annotated[str, typer.Option(help="CSV of mixtures that the fit must not see")] = "",
    evaluate_losses: Annotated[str, typer.Option(help="CSV of their losses")] = "",
    regressor: Annotated[list[str], typer.Option(help="candidates of the ensemble, by name; repeat for several")] = [],  # noqa: B006
    prior: Annotated[str, typer.Option(help="DOMAIN=SHARE,… to search around; default: the mean of the mixtures")] = "",
    ceiling: Annotated[list[str], typer.Option(help="DOMAIN=SHARE that the proposal must not exceed")] = [],  # noqa: B006
    floor: Annotated[list[str], typer.Option(help="DOMAIN=SHARE that the proposal must reach")] = [],  # noqa: B006
    kl: Annotated[float, typer.Option(help="price of leaving the prior: adds KL times this to the loss")] = 0.0,
    seed: Annotated[int, typer.Option(help="of the folds and of the search")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="processes to fit targets in")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Fit losses as functions of the mixture, and propose the best mixture. Needs no workspace.

    Reads RegMix's and Olmix's CSV forms. Each target is fitted alone by an ensemble that cross-validation weighs.

    Example: gristmill mix fit --mixtures A.csv --losses B.csv --target the_pile_pile_cc --json
    """
    from ...mixing.standalone import fit_tables

    if bool(evaluate_mixtures) != bool(evaluate_losses):
        raise RequestError("--evaluate-mixtures and --evaluate-losses go together")
    told = fit_tables(
        mixtures,
        losses,
        target=parse_targets(target),
        evaluate=(evaluate_mixtures, evaluate_losses) if evaluate_mixtures else None,
        regressors=regressor or None,
        prior=parse_shares([part for part in prior.split(",") if part], "--prior"),
        ceilings=parse_shares(ceiling, "--ceiling"),
        floors=parse_shares(floor, "--floor"),
        kl=kl,
        seed=seed,
        jobs=jobs,
    )
    sys.stdout.write(json.dumps(told) + "\n" if as_json else fit_lines(told))


def parse_targets(entries: Sequence[str]) -> dict[str, float]:
    """NAME or NAME=WEIGHT entries as name -> weight."""
    return parse_shares([entry if "=" in entry else f"{entry}=1" for entry in entries], "--target")


def parse_shares(entries: Sequence[str], option: str) -> dict[str, float]:
    """NAME=NUMBER entries as name -> number."""
    found: dict[str, float] = {}
    for entry in entries:
        name, equals, number = entry.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise RequestError(f"{option} {entry}: expected NAME=NUMBER")
    return found


def mixture_lines(details: dict[str, Any]) -> str:
    """What validation measured, as a table and a sentence."""
    lines = []
    for name, row in sorted(details["mixtures"].items(), key=lambda item: item[1]["bits_per_byte"]):
        spread = "" if row["spread"] is None else f" ± {row['spread']:.4f}"
        lines.append(f"  {name:<14} {row['bits_per_byte']:.4f}{spread} bits per byte on the target")
    return "\n".join([*lines, details["verdict"]]) + "\n"


def fit_lines(told: dict[str, Any]) -> str:
    """The report of a fit for a reader: measures per target, then the proposal."""
    unseen = told.get("evaluation", {}).get("targets", {})
    head = "target, cross-validated Spearman" + (", on unseen mixtures, 90 % interval covers" if unseen else "")
    lines = [head]
    for name, row in told["fit"]["targets"].items():
        text = f"  {name}: {row['cross_validated']['ensemble']['spearman']:.4f}"
        if name in unseen:
            text += f", {unseen[name]['spearman']:.4f}, {unseen[name]['coverage']:.3f}"
        lines.append(text)
    proposal = told["proposal"]
    lines.append(
        f"proposed mixture: predicted {proposal['predicted']:.4f} [{proposal['low']:.4f}, {proposal['high']:.4f}]"
    )
    shares = sorted(proposal["shares"].items(), key=lambda item: -item[1])
    lines += [f"  {name} {share:.4f}" for name, share in shares if share > 0]
    gain = proposal["gain"]
    proven = "" if gain["proven"] else "; the interval holds 0, so the gain is not proven"
    lines.append(f"gain over the prior {gain['value']:.4f} [{gain['low']:.4f}, {gain['high']:.4f}]{proven}")
    return "\n".join(lines) + "\n"
