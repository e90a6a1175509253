"""`gristmill mix plan`: how large a search a span of time affords on this machine."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ...corpus.store.errors import RequestError
from .options import JsonOption, WorkersOption, WorkspaceOption, open_workspace, settings_file, settings_of


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
    from ...mixing.proxies import fleet_flops, open_pool
    from ...proxy_models.fleets.plan import plan_fleet
    from ..stages.mix.bounds import beside, mix_inputs
    from ..stages.mix.options import proxy_values
    from ..stages.mix.stage import MixSettings

    if not 0 < minutes < math.inf:
        raise RequestError(f"--minutes {minutes:g}: a search takes time, a finite number of minutes above 0")
    values: dict[str, Any] = settings_file(settings) if settings else {}
    values["proxy"] = proxy_values(values.get("proxy") or {}, None, d_model)
    asked = settings_of(MixSettings, **values)
    there = open_workspace(workspace)
    files = tuple(sorted(asked.target_files.items()))
    pool = open_pool(there.url, fingerprint(mix_inputs(there, asked)), asked.heldout_tokens, files)
    parts = beside(asked)
    more = sum(parts.values())
    found, why = plan_fleet(pool, asked.proxy, 60 * minutes, workers, round(more))
    made = values | found.settings(asked.proxy)
    proxy = asked.proxy.model_copy(update={"steps": found.steps})
    budget = {
        "mixtures": found.models,
        "beside": {name: round(part, 2) for name, part in parts.items() if part},
        "proxies": round(found.models + more, 2),
        "flops": fleet_flops(proxy, pool.vocab_size, 1) * (found.models + more),
        "hours": found.seconds / 3600 / workers,
    }
    told = (
        f"{found.models} mixtures and {more:.0f} models' worth beside them ("
        + ", ".join(f"{name.replace('_', ' ')} {part:g}" for name, part in budget["beside"].items())
        + f"), {found.steps} steps or {proxy.tokens_per_model:,} tokens each, {found.evaluations} checkpoints; "
        f"{found.waves} waves of {found.wave}; in all {budget['proxies']:.0f} proxies, {budget['flops']:.2g} FLOPs, "
        f"{budget['hours']:.2f} hours ({60 * budget['hours']:.1f} minutes) on {workers} idle "
        f"{'core' if workers == 1 else 'cores'}"
    )
    if as_json:
        sys.stdout.write(json.dumps({"settings": made, "plan": told, "budget": budget, "measured": why}) + "\n")
        return
    text = f"# {told}\n# {why}\n{yaml.safe_dump(made, sort_keys=False)}"
    if output is None:
        sys.stdout.write(text)
        return
    Path(output).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{told}\n{why}\nwritten to {output}: gristmill mix --workspace {workspace} --settings {output}\n")
