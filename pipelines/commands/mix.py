"""`gristmill mix`: search the mixture of a workspace, or fit one on CSV files of mixtures and losses."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...corpus.store.errors import RequestError
from .mix_ladder import ladder
from .mix_laws import law, spend
from .mix_plan import plan
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_file, settings_of

if TYPE_CHECKING:
    from ...mixing.recipe import Recipe

mix = typer.Typer(no_args_is_help=False, rich_markup_mode=None)

mix.command("law")(law)
mix.command("spend")(spend)
mix.command("ladder")(ladder)
mix.command("plan")(plan)


@mix.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    workspace: WorkspaceOption = "",
    mixtures: Annotated[int | None, typer.Option(help="mixtures in the swarm, one proxy each; 32")] = None,
    target: Annotated[list[str], typer.Option(help="DOMAIN, FILE or NAME=FILE, with =WEIGHT or not; all domains")] = [],  # noqa: B006
    total_tokens: Annotated[int | None, typer.Option(help="of the run the recipe is for; every token once")] = None,
    max_epochs: Annotated[float | None, typer.Option(help="passes over a domain that the run may make; 4")] = None,
    steps: Annotated[int | None, typer.Option(help="training steps of a proxy; 200")] = None,
    d_model: Annotated[int | None, typer.Option(help="width of a proxy; 64")] = None,
    design: Annotated[str | None, typer.Option(help="dirichlet, spread, or nested (by --group)")] = None,
    group: Annotated[list[str], typer.Option(help="NAME=DOMAIN,DOMAIN,…: groups drawn first, then within each")] = [],  # noqa: B006
    rounds: Annotated[int | None, typer.Option(help="later rounds look where the fit promises or doubts most")] = None,
    reuse: Annotated[str | None, typer.Option(help="a recipe.yaml whose unchanged domains act as one")] = None,
    changed: Annotated[list[str], typer.Option(help="DOMAIN to search anew; default: those with other tokens")] = [],  # noqa: B006
    validate: Annotated[list[str], typer.Option(help="mixture to train with seeds, beside the usual four")] = [],  # noqa: B006
    compare: Annotated[list[str], typer.Option(help="NAME:DOMAIN=SHARE,…: a mixture of your own to compare")] = [],  # noqa: B006
    choose: Annotated[str | None, typer.Option(help="the recipe: predicted (the fit's) or measured best")] = None,
    last_phase: Annotated[list[float], typer.Option(help="share of the run to try another mixture in at its end")] = [],  # noqa: B006
    seeds: Annotated[int | None, typer.Option(help="seeds of each validated mixture; 3")] = None,
    seed: Annotated[int | None, typer.Option(help="of the design and of the proxies")] = None,
    settings: Annotated[str | None, typer.Option(help="YAML file with any of the settings of the stage")] = None,
    as_json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Find the mixture of domains that trains the best model, by proxies.

    Trains a swarm of small models on different mixtures, fits each target's loss, optimises the target under the epoch
    cap, trains the candidates again at validation size, and hands over in mixture/recipe.yaml what fresh seeds prove to
    beat the natural mixture, or that mixture. A target is a held-out domain, or a file of questions and answers or of
    texts, of which one half is searched by and the other judges. --validate adds UniMax, temperature sampling, DoReMi's
    rule, mixtures of your own, and what doremi or ado find while a proxy of their own trains.

    Example: gristmill mix --workspace W --target books=2 --target web=1 --rounds 2 --validate unimax
    """
    if context.invoked_subcommand is not None:
        return
    if not workspace:
        raise RequestError("mix needs --workspace W (or: gristmill mix fit --mixtures A.csv --losses B.csv)")
    from ..stages.mix.settings import CANDIDATES
    from ..stages.mix.stage import MixSettings
    from ..stages.mix.stage import mix as stage

    values: dict[str, Any] = settings_file(settings) if settings else {}
    given = {
        "mixtures": mixtures,
        "target": list(target) or None,
        "total_tokens": total_tokens,
        "max_epochs": max_epochs,
        "design": design or ("nested" if group else None),
        "groups": parse_groups(group) or None,
        "rounds": rounds,
        "reuse": {"recipe": reuse, "changed": changed or None} if reuse else None,
        "validate_mixtures": [*values.get("validate_mixtures", CANDIDATES), *validate] if validate else None,
        "last_phases": last_phase or None,
        "choose": choose,
        "compare": parse_compared(compare) or None,
        "seeds": seeds,
        "seed": seed,
    }
    if changed and not reuse:
        raise RequestError("--changed says which domains an old recipe lacks; it needs --reuse RECIPE")
    if target:
        values.pop("target_files", None)  # those of the file belong to its targets
    values |= {key: value for key, value in given.items() if value is not None}
    values["proxy"] = proxy_values(values.get("proxy") or {}, steps, d_model)
    asked = settings_of(MixSettings, **values)
    summary = run_and_show(context, stage, workspace, asked, workers=workers, force=force, as_json=as_json)
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
    cost: Annotated[list[str], typer.Option(help="DOMAIN=PRICE per token, in units of the loss")] = [],  # noqa: B006
    at_most: Annotated[list[str], typer.Option(help="COLUMN=LOSS that the proposal must not exceed")] = [],  # noqa: B006
    search: Annotated[str, typer.Option(help="ensemble, or exact: convex, of the exponential law")] = "ensemble",
    seed: Annotated[int, typer.Option(help="of the folds and of the search")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="processes to fit targets in")] = 2,
    output: Annotated[
        str, typer.Option(help="folder for fit.json, fit.html and, with --domains, recipe.yaml")
    ] = "",
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
    from ...mixing.standalone import fit_tables, recipe_of_fit

    if bool(domains) != bool(total_tokens) or (domains and not output):
        raise RequestError("a recipe takes --output, --domains and --total-tokens together")
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
        cost=parse_shares(cost, "--cost"),
        at_most=parse_shares(at_most, "--at-most"),
        search=search,
        seed=seed,
        jobs=jobs,
        details=bool(output),
    )
    if output:
        recipe = recipe_of_fit(told, domains, total_tokens, seq_len, seed) if domains else None
        write_fit(told, recipe, output)
    sys.stdout.write(as_json_text(told) if as_json else fit_lines(told))


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


def as_json_text(told: dict[str, Any]) -> str:
    """A report as one line of JSON."""
    from ...mixing.tables import as_json

    return as_json(told) + "\n"


def parse_targets(entries: Sequence[str]) -> dict[str, float]:
    """NAME or NAME=WEIGHT entries as name -> weight."""
    return parse_shares([entry if "=" in entry else f"{entry}=1" for entry in entries], "--target")


def parse_shares(entries: Sequence[str], option: str) -> dict[str, float]:
    """NAME=NUMBER entries as name -> number."""
    from ...mixing.tables import named_numbers

    return named_numbers(entries, option)


def parse_groups(entries: Sequence[str]) -> dict[str, list[str]]:
    """NAME=DOMAIN,DOMAIN,… entries as name -> domains."""
    found = {}
    for entry in entries:
        name, equals, members = entry.partition("=")
        found[name.strip()] = [part.strip() for part in members.split(",") if part.strip()]
        if not equals or not name.strip() or not found[name.strip()]:
            raise RequestError(f"--group {entry}: expected NAME=DOMAIN,DOMAIN,…")
    return found


def parse_compared(entries: Sequence[str]) -> dict[str, dict[str, float]]:
    """NAME:DOMAIN=SHARE,DOMAIN=SHARE,… entries as name -> domain -> share."""
    found = {}
    for entry in entries:
        name, colon, shares = entry.partition(":")
        if not colon or not name.strip() or not shares.strip():
            raise RequestError(f"--compare {entry}: expected NAME:DOMAIN=SHARE,DOMAIN=SHARE,…")
        found[name.strip()] = parse_shares(shares.split(","), f"--compare {name}:")
    return found


def proxy_values(given: dict[str, Any], steps: int | None, d_model: int | None) -> dict[str, Any]:
    """Settings of a proxy: the file's, then the options; the feed-forward width and the evaluations follow them."""
    made = dict(given)
    if steps is not None:
        made["steps"] = steps
    if d_model is not None:
        made |= {"d_model": d_model, "d_ff": 3 * d_model}
    return {"evaluations": min(4, made.get("steps", 200)), **made}


def mixture_lines(details: dict[str, Any]) -> str:
    """Every mixture compared: what was predicted, what validation measured; best first; then the verdict."""
    measured, predicted = details["mixtures"], details["predicted"]
    lines = ["mixture, bits per byte on the target: measured by validation; predicted for the proxies [90 %]"]
    seen = sorted(measured, key=lambda name: measured[name]["bits_per_byte"])
    rest = sorted((name for name in predicted if name not in measured), key=lambda name: predicted[name]["predicted"])
    for name in [*seen, *rest]:
        row, guess = measured.get(name), predicted.get(name)
        told = "not trained"
        if row:
            told = f"{row['bits_per_byte']:.4f}" + ("" if row["spread"] is None else f" ± {row['spread']:.4f}")
        said = f"{guess['predicted']:.4f} [{guess['low']:.4f}, {guess['high']:.4f}]" if guess else "not predicted"
        lines.append(f"  {name:<14} {told:<17} {said}")
    for name, row in details.get("target_files", {}).items():
        parts = ", ".join(f"{row[half]['tokens']:,} tokens {half}" for half in ("searched", "judged"))
        short = f"; fewer than asked for: {', '.join(row['short'])}" if row["short"] else ""
        lines.append(f"target {name}: {row['items']:,} items, {parts}{short}")
    for name, row in details.get("bounds", {}).items():
        kept = "kept" if row["kept"] else "not kept"
        lines.append(f"bound on {name}: at most {row['at_most']:.4f}, predicted {row['predicted']:.4f}: {kept}")
    held, pairs = details["pairs_held"]
    lines.append(f"The predicted order held for {held} of {pairs} pairs.")
    fresh = ", ".join(f"{name} {row['bits_per_byte']:.4f}" for name, row in details.get("fresh", {}).items())
    if fresh:
        lines.append(f"trained again with fresh seeds: {fresh}")
    if details.get("card"):
        from ...mixing.card import card_lines

        lines += card_lines(details["chosen"], details["card"])
    lines.append(details["verdict"])
    for end in details.get("last_phases", []):
        shares = ", ".join(f"{name} {share:.3f}" for name, share in end["shares"].items() if share > 0)
        worth = end["gain"]
        lines.append(
            f"last {end['length']:.0%} on {shares}: predicted gain {worth['value']:.4f} "
            f"[{worth['low']:.4f}, {worth['high']:.4f}]" + ("" if worth["proven"] else ", not proven")
        )
    return "\n".join(lines) + "\n"


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
    shares = sorted(proposal["shares"].items(), key=lambda item: -item[1])
    lines += [f"  {name} {share:.4f}" for name, share in shares if share > 0]
    gain = proposal["gain"]
    proven = "" if gain["proven"] else "; the interval holds 0, so the gain is not proven"
    lines.append(f"gain over the prior {gain['value']:.4f} [{gain['low']:.4f}, {gain['high']:.4f}]{proven}")
    return "\n".join(lines) + "\n"
