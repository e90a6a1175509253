"""`gristmill mix plan`: how large a search a span of time affords on this machine."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from .options import JsonOption, WorkersOption, WorkspaceOption, settings_file, settings_of


def plan(
    workspace: WorkspaceOption,
    minutes: Annotated[float, typer.Option(help="that the search may take, its validation included")],
    d_model: Annotated[int | None, typer.Option(help="width of a proxy; 64")] = None,
    settings: Annotated[str | None, typer.Option(help="YAML file of mix settings to begin with")] = None,
    output: Annotated[str | None, typer.Option(help="YAML file to write; standard output without it")] = None,
    as_json: JsonOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Choose how many proxies a search trains, how long, and in which waves, from memory and a short probe.

    Trains nothing and writes nothing but the settings, which `gristmill mix --settings` takes. They are the machine's;
    what mix makes of them is the same on every machine.

    Example: gristmill mix plan --workspace W --minutes 30 --workers 2 --output search.yaml
    """
    from ...corpus.store.shards import fingerprint
    from ...mixing.proxies import open_pool
    from ...proxy_models.fleets.plan import plan_fleet
    from ..stages.mix.settings import domain_inputs
    from ..stages.mix.stage import MixSettings
    from .mix import proxy_values

    if minutes <= 0:
        raise RequestError(f"--minutes {minutes:g}: a search takes time")
    values: dict[str, Any] = settings_file(settings) if settings else {}
    values["proxy"] = proxy_values(values.get("proxy") or {}, None, d_model)
    asked = settings_of(MixSettings, **values)
    there = Workspace(workspace)
    pool = open_pool(there.url, fingerprint(domain_inputs(there, "mix plan")), asked.heldout_tokens)
    validated = len(asked.validated()) * asked.seeds
    length = asked.validation.steps / asked.proxy.steps if asked.validation else 2.0
    beside = asked.replicates + round(length * validated)
    found, why = plan_fleet(pool, asked.proxy, 60 * minutes, workers, beside)
    made = values | found.settings(asked.proxy)
    told = (
        f"{found.models} mixtures and {beside} models' worth beside them, {found.steps} steps or "
        f"{found.steps * asked.proxy.sequences * asked.proxy.seq_len:,} tokens each, {found.evaluations} checkpoints; "
        f"{found.waves} waves of {found.wave}; {found.seconds / 60 / workers:.1f} minutes on {workers} idle "
        f"{'core' if workers == 1 else 'cores'}"
    )
    if as_json:
        sys.stdout.write(json.dumps({"settings": made, "plan": told, "measured": why}) + "\n")
        return
    text = f"# {told}\n# {why}\n{yaml.safe_dump(made, sort_keys=False)}"
    if output is None:
        sys.stdout.write(text)
        return
    Path(output).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{told}\n{why}\nwritten to {output}: gristmill mix --workspace {workspace} --settings {output}\n")
