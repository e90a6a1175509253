"""`gristmill demo`."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from .options import ClusterOption, JsonOption, WorkersOption, runner_options


def demo(
    context: typer.Context,
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="folder to make the demo in")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="sizes the demo for so many minutes on two idle cores")] = 3.0,
    megabytes: Annotated[
        float | None, typer.Option(help="text to collect from the Python environment, about; default: by --minutes")
    ] = None,
    workers: WorkersOption = 2,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Run the whole road on a corpus made from the Python environment that is running.

    Needs no network. Collects documentation, package descriptions, licences and source code, curates them, fits a
    mixture, trains on it, and prints the funnel, the mixture and what models trained on each mixture reach.

    Example: gristmill demo --workspace demo --minutes 3
    """
    from ..demo import demo as run_demo

    result = run_demo(workspace, minutes, runner_options(context, workers, cluster=cluster), megabytes, quiet=json)
    if json:
        typer.echo(json_format.dumps(result, default=str))
