"""`gristmill submit`."""

import json as json_format
import os
from typing import Annotated

import typer

from ....corpus.store.errors import RequestError
from ..options import JsonOption


def submit(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(help="a settings file; or train and a recipe", metavar="FILE | train RECIPE")
    ],
    cluster: Annotated[str, typer.Option("--cluster", help="cluster file of a batch system, YAML")],
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="instead of the file's workspace; of a training run")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="nodes of a training run")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="ranks of a training run on each node, one a GPU")] = 1,
    show: Annotated[bool, typer.Option("--show", help="print the script, and submit nothing")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="end what this command submitted")] = False,
    json: JsonOption = False,
) -> None:
    """Submit a run or a training run as a job, which is queued again when its time ends and goes on where it was.

    The job starts its own workers as further jobs. `gristmill status` and the log tell from anywhere how far it is.
    Options of train stand behind --: gristmill submit train recipe.yaml -w W --cluster slurm.yaml -- --model 15m.

    Example: gristmill submit settings.yaml --cluster slurm.yaml
    """
    from ...clusters.settings import read_cluster
    from ...clusters.submission import LOG, run_script, submission_of, train_script
    from ...engine.run import load_settings

    training = words[0] == "train"
    rest = list((context.obj or {}).get("beam", ()))
    if rest and not training:
        raise RequestError("only the options of train stand behind --; a run takes its engine from --cluster")
    place = ["--workspace", workspace] if workspace else []
    made = submission_of(read_cluster(cluster), [*words, *place])
    if cancel:
        ended = made.cancel()
        typer.echo(json_format.dumps({"cancelled": ended}) if json else f"cancelled: {', '.join(ended) or 'nothing'}")
        return
    if training:
        if not workspace:
            raise RequestError("gristmill submit train needs --workspace")
        script = train_script(made, [*words, *place, *rest], nodes, processes)
    else:
        if len(words) > 1:
            raise RequestError(f"one settings file is submitted, not {len(words)}; there is also: submit train ...")
        load_settings(words[0])  # what is wrong in it is told here, not by a job in the night
        arguments = ["run", os.path.abspath(words[0]), "--cluster", os.path.abspath(cluster), *place]
        script = run_script(made, arguments)
    if show:
        typer.echo(script, nl=False)
        return
    number = made.submit(script)
    told = {"job": number, "log": made.path(LOG), "folder": made.folder}
    typer.echo(json_format.dumps(told) if json else f"submitted as job {number}; its log is {told['log']}")
