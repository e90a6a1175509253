"""`gristmill mix law` and `gristmill mix spend`: the scaling laws on CSV files, without a workspace."""

import sys
from typing import Annotated, Any

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption

TableArgument = Annotated[str, typer.Argument(help="a CSV file with a header", metavar="TABLE")]


def law(
    table: TableArgument,
    law: Annotated[str, typer.Option(help="chinchilla, data_constrained, dcpt, overtrained or power")] = "chinchilla",
    columns: Annotated[str, typer.Option(help="the file's names of the law's inputs and the loss, by commas")] = "",
    flops: Annotated[bool, typer.Option("--flops", help="chinchilla: the second column is FLOPs, not tokens")] = False,
    leave_out: Annotated[int, typer.Option(help="chinchilla: rows with the fewest tokens a parameter to skip")] = 0,
    at: Annotated[list[str], typer.Option(help="N,N,…: inputs to predict at; repeat for several")] = [],  # noqa: B006
    compute: Annotated[
        float | None, typer.Option(help="chinchilla: FLOPs to divide between parameters and tokens")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="refits for standard errors and 90 % intervals")] = 0,
    beyond: Annotated[bool, typer.Option("--beyond", help="predict far outside the data all the same")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a scaling law to measured losses, and predict with it. Needs no workspace.

    Columns: chinchilla parameters,tokens,loss; data_constrained unique_tokens,tokens,loss;
    dcpt parameters,tokens,share,loss; overtrained compute,tokens_per_parameter,loss; power tokens,loss.

    Example: gristmill mix law runs.csv --law chinchilla --compute 1e21 --bootstrap 50
    """
    from ...mixing.standalone import law_of_table
    from ...mixing.tables import as_json as told_as_json

    told = law_of_table(
        table,
        law,
        columns=[name.strip() for name in columns.split(",") if name.strip()],
        flops=flops,
        leave_out=leave_out,
        at=[numbers(entry) for entry in at],
        compute=compute,
        bootstrap=bootstrap,
        beyond=beyond,
        seed=seed,
    )
    sys.stdout.write(told_as_json(told) + "\n" if as_json else law_lines(told))


def spend(
    table: TableArgument,
    tokens: Annotated[float, typer.Option(help="budget of training tokens; 0: from --compute and --parameters")] = 0.0,
    compute: Annotated[float, typer.Option(help="budget of FLOPs, 6 x parameters x tokens")] = 0.0,
    parameters: Annotated[float, typer.Option(help="of the model that --compute is for")] = 0.0,
    target: Annotated[list[str], typer.Option(help="DOMAIN or DOMAIN=WEIGHT; repeat for several; all alike")] = [],  # noqa: B006
    max_epochs: Annotated[float, typer.Option(help="passes over what is kept of a domain")] = 16.0,
    unit: Annotated[float, typer.Option(help="tokens that the law's utilities were fitted in")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Choose domains, quality buckets and epochs together for a budget, by the filtering law. Needs no workspace.

    TABLE has the columns domain, bucket, tokens, utility (below 0: how fast its tokens lower the loss) and half_life
    (epochs after which a repeated pass is worth half).

    Example: gristmill mix spend buckets.csv --compute 1e21 --parameters 1e9
    """
    from ...mixing.tables import checked
    from .parsing import targets

    if bool(tokens) == bool(compute and parameters) or bool(compute) != bool(parameters):
        raise RequestError("spend needs --tokens, or --compute together with --parameters")
    given = {"--tokens": tokens, "--compute": compute, "--parameters": parameters}
    for option, number in given.items():
        if number != 0:
            checked(number, option, above=0.0)
    from ...mixing.laws.joint import tokens_of
    from ...mixing.standalone import spend_table
    from ...mixing.tables import as_json as told_as_json

    budget = tokens or tokens_of(compute, parameters)
    told = spend_table(table, budget, target=targets("--target", target), max_epochs=max_epochs, unit=unit)
    if as_json:
        sys.stdout.write(told_as_json(told) + "\n")
        return
    sys.stdout.write(f"{budget:,.0f} tokens\n")
    for row in told["domains"]:
        kept = ", ".join(row["buckets"]) or "nothing"
        sys.stdout.write(f"  {row['domain']}: {row['share']:.3f} on {kept}; {row['epochs']:.2f} epochs\n")


def numbers(entry: str) -> list[float]:
    try:
        return [float(part) for part in entry.split(",")]
    except ValueError:
        raise RequestError(f"--at {entry}: expected numbers separated by commas") from None


def law_lines(told: dict[str, Any]) -> str:
    """The fitted constants, the division of compute and the predictions, for a reader."""
    lines = [
        f"{told['law']} on {told['rows']} rows, which it misses by {told['relative_error']:.2%}; "
        f"{told['starts_agreed']:.0%} of the starts agree"
    ]
    errors = told.get("standard_errors", {})
    for name, value in told["values"].items():
        lines.append(f"  {name} {value:.5g}" + (f" ± {errors[name]:.2g}" if name in errors else ""))
    if "constants" in told:
        lines.append("  " + ", ".join(f"{name} {value:.5g}" for name, value in told["constants"].items()))
    if "optimal" in told:
        best = told["optimal"]
        lines.append(f"compute-optimal: {best['parameters']:.4g} parameters on {best['tokens']:.4g} tokens")
    for row in told.get("predicted", []):
        between = f" [{row['low']:.4f}, {row['high']:.4f}]" if "low" in row else ""
        lines.append(f"at {', '.join(f'{value:g}' for value in row['at'])}: loss {row['loss']:.4f}{between}")
    return "\n".join(lines) + "\n"
