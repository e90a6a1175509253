"""`gristmill remove`."""

from typing import Annotated

import typer

from .options import JsonOption, WorkersOption, WorkspaceOption, open_workspace, runner_options, show


def remove(
    context: typer.Context,
    inputs: Annotated[
        list[str], typer.Argument(help="names of sources, or files, folders, globs and lists as they were extracted")
    ],
    workspace: WorkspaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and change nothing")] = False,
    rebuild: Annotated[
        bool, typer.Option(help="run every stage that made something from documents again, as it was run")
    ] = True,
    json: JsonOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Remove inputs from a workspace: just what came from them, in every table.

    The files themselves are not touched and need not be there any more. A name without a slash is a source's, if there
    is one. Tokenizers and models stay as they are fitted; recipes and runs made before are named, not touched.

    Example: gristmill remove crawl/news.jsonl --workspace W --dry-run
    """
    from ..stages.removal import remove as undo

    place = open_workspace(workspace)
    options = runner_options(context, workers)
    summary = undo(place, inputs, options, quiet=json, again=rebuild, dry_run=dry_run)
    if json or not dry_run:
        show(summary, json)
    if not json:
        for line in lines(summary):
            typer.echo(f"remove: {line}")
        for stage, why in summary.get("left", {}).items():
            typer.echo(f"remove: {stage} was not run again ({why}); run: gristmill {stage} --workspace {workspace} ...")
    if summary.get("left"):
        raise typer.Exit(1)  # something made from what was removed is still there


def lines(summary: dict) -> list[str]:
    """What went, or would go, for a person."""
    files = summary["files"]
    named = ", ".join(file["path"] for file in files[:3]) + (f" and {len(files) - 3:,} more" if len(files) > 3 else "")
    would = "would remove" if summary.get("dry_run") else "removed"
    told = [
        f"{would} {len(files):,} {'file' if len(files) == 1 else 'files'} ({named or 'gone already'}): "
        f"{summary['documents']:,} documents, {summary['failures']:,} failures, in {summary['shards']['dropped']:,} "
        f"shards that go and {summary['shards']['cut']:,} that are cut"
    ]
    if summary.get("dry_run"):
        told.append(f"would run again: {', '.join(summary['would_run']) or 'nothing'}")
    else:
        told.append(f"rebuilt {', '.join(summary['rebuilt']) or 'nothing'}")
    if summary.get("stale"):
        told.append(f"made from removed documents and left as they are: {', '.join(summary['stale'])}")
    return told
