"""`gristmill run`."""

import json as json_format
from dataclasses import replace
from typing import Annotated

import typer

from .options import ClusterOption, ForceOption, JsonOption, runner_options, show


def run(
    context: typer.Context,
    settings: Annotated[str, typer.Argument(help="a settings file, YAML")],
    workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="instead of the file's workspace")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="instead of the file's workers")] = None,
    cluster: ClusterOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Run every stage that a settings file names, in order.

    Finished stages are skipped, so the same command continues a run that was killed. Settings are checked against
    each other before anything runs.

    Example: gristmill run examples/common-crawl.yaml --workers 8
    """
    from ..engine.run import left_out, load_settings
    from ..engine.run import run as run_settings

    loaded = load_settings(settings)
    changes = {"workspace": workspace, "workers": workers, "cluster": cluster}
    loaded = loaded.model_copy(update={key: value for key, value in changes.items() if value is not None})
    for note in left_out(loaded):
        typer.echo(f"note: {note}", err=True)
    summaries = []
    options = replace(runner_options(context, loaded.workers, mend=force), cluster=loaded.engine())
    if options.beam and cluster is None:
        options = replace(options, cluster=None)  # what stands behind -- goes before what the file names
    if options.cluster is not None:
        from ..clusters.examination import refuse_faults

        refuse_faults(options.cluster, loaded.workspace, loaded.inputs())
    for summary in run_settings(loaded, options, force=force, quiet=json):
        summaries.append(summary)
        if not json:
            show(summary, False)
    if json:
        typer.echo(json_format.dumps(summaries, default=str))
