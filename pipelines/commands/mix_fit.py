"""`gristmill mix fit`: fit a mixture on CSV files of mixtures and losses."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption
from .parsing import shares, targets

if TYPE_CHECKING:
    from ...mixing.recipe import Recipe


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
    cost: Annotated[list[str], typer.Option(help="DOMAIN=PRICE per token, in units of the loss")] = [],  # noqa: B006
    at_most: Annotated[list[str], typer.Option(help="COLUMN=LOSS that the proposal must not exceed")] = [],  # noqa: B006
    search: Annotated[str, typer.Option(help="ensemble, or exact: convex, of the exponential law")] = "ensemble",
    seed: Annotated[int, typer.Option(min=0, help="of the folds and of the search")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="processes to fit targets in")] = 2,
    output: Annotated[str, typer.Option(help="folder for fit.json, fit.html and, with --domains, recipe.yaml")] = "",
    domains: Annotated[
        str, typer.Option(help="CSV: domain, tokens, mean_tokens_per_document, bytes_per_token: the recipe needs it")
    ] = "",
    total_tokens: Annotated[int, typer.Option(min=0, help="of the run that the recipe is for")] = 0,
    seq_len: Annotated[int, typer.Option(min=2, help="of the run that the recipe is for")] = 2048,
    as_json: JsonOption = False,
) -> None:
    """Fit losses as functions of the mixture, and propose the best mixture. Needs no workspace.

    Reads RegMix's and Olmix's CSV forms. Each target is fitted alone by an ensemble that cross-validation weighs.

    With --output the plots and the decision card are written, and with --domains a recipe that `recipe export` takes.

    Example: gristmill mix fit --mixtures A.csv --losses B.csv --target the_pile_pile_cc --json
    """
    from ...mixing.standalone import facts_of_domains, fit_tables, recipe_of_fit
    from ...mixing.tables import as_json as told_as_json

    if bool(evaluate_mixtures) != bool(evaluate_losses):
        raise RequestError("--evaluate-mixtures and --evaluate-losses go together")
    if bool(domains) != bool(total_tokens) or (domains and not output):
        raise RequestError("a recipe takes --output, --domains and --total-tokens together")
    facts = facts_of_domains(domains, mixtures) if domains else None
    if output:
        refuse_place(output, facts is not None)
    told = fit_tables(
        mixtures,
        losses,
        target=targets("--target", target),
        evaluate=(evaluate_mixtures, evaluate_losses) if evaluate_mixtures else None,
        regressors=regressor or None,
        prior=shares("--prior", [part for part in prior.split(",") if part]),
        ceilings=shares("--ceiling", ceiling),
        floors=shares("--floor", floor),
        kl=kl,
        cost=shares("--cost", cost),
        at_most=shares("--at-most", at_most),
        search=search,
        seed=seed,
        jobs=jobs,
        details=bool(output),
    )
    if output:
        write_fit(told, recipe_of_fit(told, facts, total_tokens, seq_len, seed) if facts else None, output)
    sys.stdout.write(told_as_json(told) + "\n" if as_json else fit_lines(told))


def refuse_place(folder: str, recipe: bool) -> None:
    """RequestError, before anything is fitted, for an output that is a file, or that would keep an older recipe."""
    from ...corpus.store.shards import filesystem

    fs, place = filesystem(folder)
    if fs.isfile(place):
        raise RequestError(f"--output {folder} is a file; name a folder")
    if not recipe and fs.exists(f"{place.rstrip('/')}/recipe.yaml"):
        raise RequestError(
            f"--output {folder} holds the recipe.yaml of another fit, which would lie beside this one; give --domains "
            f"and --total-tokens to write it anew, or name another folder"
        )


def write_fit(told: dict[str, Any], recipe: "Recipe | None", folder: str) -> None:
    """fit.json, fit.html and, where there is one, recipe.yaml in a folder; each appears whole or not at all."""
    from ...corpus.store.shards import replacing
    from ...mixing.recipe import dump_recipe
    from ...mixing.tables import as_json
    from ..report.fit import fit_page

    texts = {"fit.json": as_json(told, indent=1) + "\n", "fit.html": fit_page(told)}
    if recipe is not None:
        texts["recipe.yaml"] = dump_recipe(recipe)
    for name, text in texts.items():
        with replacing(f"{folder.rstrip('/')}/{name}") as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.write(text)
    told.pop("details", None)


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
    for name, row in proposal["bounds"].items():
        kept = "" if row["kept"] else "; no mixture was found that keeps to it"
        lines.append(f"{name}: predicted {row['predicted']:.4f}, at most {row['at_most']:.4f} asked{kept}")
    if proposal["never_measured"]:
        lines.append(f"none of {', '.join(proposal['never_measured'])}: no mixture of the table has any")
    if told.get("evaluation", {}).get("fitted_on"):
        lines.append(f"of the mixtures to evaluate on, the fit has seen {told['evaluation']['fitted_on']}")
    shares = sorted(proposal["shares"].items(), key=lambda item: -item[1])
    lines += [f"  {name} {share:.4f}" for name, share in shares if share > 0]
    lines.append(gain_line(proposal["gain"]))
    return "\n".join(lines) + "\n"


def gain_line(gain: Mapping[str, Any]) -> str:
    """What the proposal gains over the prior, and whether that is proven; the prior itself may break the bounds."""
    said = f"gain over the prior {gain['value']:.4f} [{gain['low']:.4f}, {gain['high']:.4f}]"
    if gain["proven"]:
        return said
    if gain["high"] < 0:
        return f"{said}; the fit holds the proposal to be worse than the prior, which need not keep to the bounds"
    return f"{said}; the interval holds 0, so the gain is not proven"
