"""`gristmill estimate`."""

import json as json_format
from typing import Annotated

import typer

from ..options import ClusterOption, JsonOption


def estimate(
    settings: Annotated[str, typer.Argument(help="a settings file, YAML")],
    minutes: Annotated[float, typer.Option(min=0.1, help="minutes that the sample may take, about")] = 2.0,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a run will cost, from a sample of its inputs: CPU hours, memory, bytes, GPU hours and money by stage.

    Draws pieces of the inputs so that each byte is as likely as any other, and runs the stages over two samples in a
    scratch folder. Prices stand in the section prices of the settings file. With --cluster, also how long its workers
    need, and whether their memory is enough.

    Example: gristmill estimate settings.yaml --minutes 1
    """
    from ...clusters.estimate import estimate as estimate_of
    from ...clusters.estimate import lines, on_cluster
    from ...clusters.settings import read_cluster
    from ...engine.run import load_settings

    loaded = load_settings(settings)
    engine = read_cluster(cluster) if cluster is not None else loaded.engine()
    found = estimate_of(loaded, minutes)
    if engine is not None:
        found["notes"] += on_cluster(found, engine)
    typer.echo(json_format.dumps(found) if json else "\n".join(lines(found)))
