"""`gristmill cluster show` and `gristmill cluster check`."""

import json as json_format
from typing import Annotated

import typer

from ..options import JsonOption

cluster = typer.Typer(rich_markup_mode=None, help="Show and check the engine that a cluster file describes.")
FileArgument = Annotated[str, typer.Argument(help="a cluster file, YAML")]


@cluster.command()
def show(file: FileArgument) -> None:
    """Print what would be submitted: the script of a job, the pods, or the options for Beam.

    Example: gristmill cluster show slurm.yaml
    """
    from ...clusters.settings import read_cluster
    from ...clusters.shown import shown

    typer.echo(shown(read_cluster(file)), nl=False)


@cluster.command()
def check(
    file: FileArgument,
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="folder or URL that workers have to reach")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="file, folder or glob that workers have to read; may be repeated"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="seconds in which a first worker has to come")] = 120,
    json: JsonOption = False,
) -> None:
    """Run every verb once on the engine, and ask each worker what it is and what it reaches.

    Versions, plug-ins, workspace and inputs, free scratch space, clocks and instruction sets. Each fault is one line
    with what to do. Exit 1 where there is one.

    Example: gristmill cluster check slurm.yaml --workspace W --input "crawl/*.warc.gz"
    """
    from ....corpus.settings import Input
    from ...clusters.examination import check_cluster
    from ...clusters.settings import read_cluster
    from ..options import open_workspace

    named = [Input(paths=tuple(inputs))] if inputs else []
    found = check_cluster(read_cluster(file), open_workspace(workspace), named, seconds=seconds)
    if json:
        typer.echo(json_format.dumps(found))
    else:
        for line in (*found["faults"], *(f"note: {note}" for note in found["notes"])):
            typer.echo(line)
        count = len(found["faults"])
        told = [
            f"{n} {word}{'s' * (n != 1)}" for n, word in ((found["workers"], "worker"), (found["machines"], "machine"))
        ]
        faults = f"{count} fault{'s' * (count > 1)}" if count else "no fault"
        typer.echo(f"{' on '.join(told)} in {found['seconds']} s: {faults}")
    raise typer.Exit(1 if found["faults"] else 0)
