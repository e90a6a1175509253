"""`gristmill dedup`."""

from enum import StrEnum
from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, show


class Scope(StrEnum):
    """Where duplicates of a document are looked for."""

    everywhere = "global"
    source = "source"
    domain = "domain"
    crawl = "crawl"


def dedup(
    context: typer.Context,
    workspace: WorkspaceOption,
    threshold: Annotated[float | None, typer.Option(help="Jaccard from which two documents are duplicates")] = None,
    preset: Annotated[
        str | None, typer.Option(help="fineweb, slimpajama, redpajama-v2, nemo or redstone; default: our own")
    ] = None,
    scope: Annotated[Scope, typer.Option(help="look for duplicates everywhere, or within each of these")] = (
        Scope.everywhere
    ),
    against: Annotated[
        list[str] | None, typer.Option(help="workspace whose documents count as seen; may be given more than once")
    ] = None,
    exact: Annotated[
        list[str] | None, typer.Option(help="exact key: text, url, or SQL over documents; default: text")
    ] = None,
    survivors: Annotated[
        list[str] | None,
        typer.Option(help="earliest, latest, longest, shortest, highest:FAMILY.SIGNAL; default: earliest, longest"),
    ] = None,
    verify: Annotated[bool, typer.Option(help="compare shingle sets before two documents are joined")] = True,
    lines: Annotated[
        int | None, typer.Option(help="also cut lines that at least this many surviving documents contain")
    ] = None,
    substrings: Annotated[
        int | None, typer.Option(help="also cut runs of at least this many words that another survivor has")
    ] = None,
    workers: WorkersOption = 1,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Find exact and near-duplicates and keep one document of each cluster.

    Writes signatures/ and shingles/ (once for each shard of documents/), duplicates/ and decisions/dedup/. Another
    threshold or scope decides anew from the signatures and reads no text. --lines
    and --substrings write edits/dedup/: the text that is left, and what was cut.

    Example: gristmill dedup --workspace W --threshold 0.8 --against LAST_MONTH
    """
    from ...dedup.settings import DedupSettings, RepeatSettings
    from ..stages.dedup.stage import deduplicate

    settings = DedupSettings(
        threshold=threshold,
        preset=preset,
        scope=scope.value,
        against=tuple(against or ()),
        exact=tuple(exact or ("text",)),
        survivors=tuple(survivors or ("earliest", "longest")),
        verify=verify,
        repeats=RepeatSettings(lines=lines, substrings=substrings) if (lines, substrings) != (None, None) else None,
    )
    summary = deduplicate(Workspace(workspace), settings, runner_options(context, workers), force=force, quiet=json)
    show(summary, json)
