"""`gristmill score`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, settings_of, show


def score(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="color, pair, perplexity, dsir, zipfit, rds or transport")],
    workspace: WorkspaceOption,
    target: Annotated[
        list[str] | None, typer.Option(help="what is wanted: a domain's name or a file of texts; may be repeated")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE, or a run's folder; of a pair: the first's loss minus the second's"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="of the table scores/NAME; the method's own without it")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="a tokenizer.json, where it is not the workspace's")] = None,
    details: Annotated[bool, typer.Option("--details", help="of pairs: learnability, Min-K%++ and DC-PDD too")] = False,
    chunk_tokens: Annotated[int | None, typer.Option(help="read at a time by a pair; 512, or what it can read")] = None,
    steps: Annotated[int, typer.Option(help="of CoLoR-Filter's prior, 4,096 tokens each")] = 300,
    width: Annotated[int, typer.Option(help="of CoLoR-Filter's models; time grows with its square")] = 64,
    sample_bytes: Annotated[int, typer.Option(help="of the random sample that a method is fitted to")] = 8_000_000,
    target_bytes: Annotated[int, typer.Option(help="of each target that a method is fitted to")] = 2_000_000,
    seed: Annotated[int, typer.Option(help="of samples and models")] = 0,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Score every surviving document: a larger score is better. Writes scores/NAME/; `select` decides by it.

    color trains a prior on a sample and a conditional on the target, and scores by the difference of their losses: a
    minute of training, then about 6 MB of text a minute and worker (width 64; at 128 half of that). Give --workers.
    pair and perplexity take models that are there already (proxies/color/prior.safetensors is one), and so do rds and
    transport, which compare embeddings. dsir and zipfit need no model.

    Example: gristmill score color --target law --workspace W
    """
    from ...corpus.store.workspace import Workspace
    from ...proxy_models.fleets.fleet import FleetSettings
    from ...proxy_models.scoring.color import ColorSettings
    from ...proxy_models.scoring.scorers import ScoreSettings
    from ..stages.score import score as run_score

    color = ColorSettings(details=details)
    shape = {"steps": steps, "warmup": min(30, steps // 5), "d_model": width, "d_ff": 3 * width}
    prior = settings_of(FleetSettings, **color.prior.model_dump() | shape)
    settings = settings_of(
        ScoreSettings,
        method=method,
        name=name,
        targets=tuple(target or ()),
        models=dict(_named_file(given) for given in model or ()),
        tokenizer=tokenizer,
        details=details,
        chunk_tokens=chunk_tokens,
        sample_bytes=sample_bytes,
        target_bytes=target_bytes,
        seed=seed,
        color=color.model_copy(update={"prior": prior}),
    )
    show(run_score(Workspace(workspace), settings, runner_options(context, workers), force, json), json)


def _named_file(given: str) -> tuple[str, str]:
    name, equals, path = given.partition("=")
    if not equals or not name.isidentifier() or not path:
        raise RequestError(f"--model {given}: write NAME=FILE, for example prior=W/proxies/color/prior.safetensors")
    return name, path
