"""`gristmill select`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of


def select(
    context: typer.Context,
    workspace: WorkspaceOption,
    by: Annotated[list[str], typer.Option(help="a score, TABLE or TABLE.COLUMN; several are taken from in turn")],
    share: Annotated[str | None, typer.Option(help="of all tokens, as 0.125 or 1/8")] = None,
    tokens: Annotated[int | None, typer.Option(help="a budget instead of a share")] = None,
    threshold: Annotated[float | None, typer.Option(help="the smallest score to keep, instead of a share")] = None,
    unit: Annotated[str, typer.Option(help="documents, or chunks of them")] = "documents",
    draw: Annotated[str, typer.Option(help="top, gumbel (in proportion to exp score) or random")] = "top",
    temperature: Annotated[float, typer.Option(help="of gumbel: larger is closer to random")] = 1.0,
    smallest: Annotated[bool, typer.Option("--smallest", help="keep the smallest scores")] = False,
    compare: Annotated[list[str] | None, typer.Option(help="another score: report how far they agree")] = None,
    seed: Annotated[int, typer.Option(help="of draws and ties")] = 0,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Keep the documents that a score puts first, within a budget. Reads scores/, writes decisions/select/.

    Nothing is taken twice, and a budget beyond what there is is refused. A document without a score is dropped.

    Example: gristmill select --by color --share 1/8 --workspace W
    """
    from ..stages.select import SelectSettings
    from ..stages.select import select as stage

    settings = settings_of(
        SelectSettings,
        by=tuple(by),
        share=_share(share),
        tokens=tokens,
        threshold=threshold,
        unit=unit,
        draw=draw,
        temperature=temperature,
        smallest=smallest,
        compare=tuple(compare or ()),
        seed=seed,
    )
    run_and_show(context, stage, workspace, settings, workers=workers, force=force, as_json=json)


def _share(given: str | None) -> float | None:
    """0.125, or 1/8."""
    if given is None:
        return None
    top, slash, bottom = given.partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"--share {given}: write a number as 0.125 or 1/8") from None
