"""`gristmill recipe`: look at a recipe, compare two, and export one to a trainer."""

import json
import sys
from typing import Annotated

import typer

from .options import JsonOption, open_workspace

recipe = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, compare and export recipes.")

RecipeArgument = Annotated[str, typer.Argument(help="a recipe.yaml", metavar="RECIPE")]


@recipe.command("export")
def export(
    path: RecipeArgument,
    to: Annotated[str, typer.Option(help="trainer: megatron, hf, olmo, torchtitan, nanotron, …")],
    output: Annotated[str, typer.Option(help="folder to write into")],
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="write the data too, from this workspace")] = "",
    data_root: Annotated[str, typer.Option(help="where the trainer will find the data; default OUTPUT/data")] = "",
    batch: Annotated[int, typer.Option(min=1, help="sequences per optimiser step; turns tokens into steps")] = 256,
    dialect: Annotated[str, typer.Option(help="which version's syntax, where a trainer has several")] = "",
    seed: Annotated[int, typer.Option(help="of the trainer's order")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe in a trainer's own form, with its shares converted into that trainer's unit.

    Reports the share of tokens that the trainer will realise beside the one requested, and refuses what the trainer
    cannot honour. With --workspace the token or text files are written too.

    Example: gristmill recipe export W/mixture/recipe.yaml --to megatron --output OUT --workspace W
    """
    from ...mixing.exporters.frame import ExportJob
    from ...mixing.exporters.registry import export_recipe
    from ...mixing.recipe import load_recipe

    job = ExportJob(
        load_recipe(path),
        output,
        open_workspace(workspace) if workspace else None,
        data_root=data_root or None,
        batch=batch,
        seed=seed,
        dialect=dialect or None,
    )
    made = export_recipe(to, job)
    if as_json:
        sys.stdout.write(json.dumps(made.told()) + "\n")
        return
    for number, phase in enumerate(made.told()["phases"], 1):
        sys.stdout.write(f"phase {number}: domain, share of tokens requested, realised, weight in {made.unit}\n")
        for name, row in phase.items():
            sys.stdout.write(f"  {name} {row['requested']:.6f} {row['realised']:.6f} {row['weight']:.6g}\n")
    for note in made.notes:
        sys.stdout.write(f"note: {note}\n")
    sys.stdout.write(f"wrote {len(made.files) + 1} files to {output}\n")


@recipe.command("check")
def check(path: RecipeArgument, as_json: JsonOption = False) -> None:
    """Validate a recipe and print its mixture: shares, tokens and epochs.

    Example: gristmill recipe check W/mixture/recipe.yaml
    """
    from ...mixing.recipe import load_recipe

    found = load_recipe(path)
    shares, epochs = found.run_shares(), found.epochs()
    rows = [
        {
            "domain": name,
            "share": shares[name],
            "tokens": round(shares[name] * found.total_tokens),
            "epochs": epochs[name],
        }
        for name in shares
    ]
    if as_json:
        sys.stdout.write(json.dumps({"fingerprint": found.fingerprint(), "domains": rows}) + "\n")
        return
    sys.stdout.write(f"{path}: {found.total_tokens:,} tokens, {len(found.phases)} phase(s)\n")
    for row in rows:
        sys.stdout.write(
            f"  {row['domain']}: {row['share']:.4f}, {row['tokens']:,} tokens, {row['epochs']:.3f} epochs\n"
        )


@recipe.command("compare")
def compare(
    before: RecipeArgument,
    after: Annotated[str, typer.Argument(help="another recipe.yaml", metavar="OTHER")],
    as_json: JsonOption = False,
) -> None:
    """Say where two recipes differ: tokens, shares by phase, epochs, tokenizer, shards; not names and evidence.

    Example: gristmill recipe compare old.yaml W/mixture/recipe.yaml
    """
    from ...mixing.recipe import differences, load_recipe

    found = differences(load_recipe(before), load_recipe(after))
    if as_json:
        sys.stdout.write(json.dumps({place: list(pair) for place, pair in found.items()}) + "\n")
        return
    for place, (a, b) in found.items():
        change = f" ({b - a:+.6g})" if isinstance(a, float) and isinstance(b, float) else ""
        sys.stdout.write(f"{place}: {a} -> {b}{change}\n")
    sys.stdout.write(f"{len(found)} differences\n" if found else "the same mixture of the same tokens\n")


@recipe.command("schema")
def schema() -> None:
    """Print the JSON schema of a recipe, its version among it, for editors and other programs.

    Example: gristmill recipe schema
    """
    from ...mixing.recipe import Recipe

    sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")
