"""`gristmill extract`."""

from typing import Annotated

import typer

from ...corpus.languages.identification import OWN
from ...corpus.readers.inputs import Input
from ..stages.extract import EXTRACT, ExtractSettings
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of


def extract(
    context: typer.Context,
    inputs: Annotated[
        list[str], typer.Argument(help="files, folders, globs, fsspec URLs, or lists of paths (warc.paths.gz)")
    ],
    workspace: WorkspaceOption,
    source: Annotated[str | None, typer.Option(help="name of the input; default: of its file or folder")] = None,
    domain: Annotated[str | None, typer.Option(help="mixture unit of its documents; default: the source")] = None,
    format: Annotated[
        str, typer.Option(help="warc, jsonl, parquet, arrow, html, text; auto goes by the name")
    ] = "auto",
    engine: Annotated[str, typer.Option(help="resiliparse (fast), trafilatura (precision) or raw")] = "resiliparse",
    text_column: Annotated[str, typer.Option(help="column that holds the text of JSONL, Parquet and Arrow")] = "text",
    shard_bytes: Annotated[int, typer.Option(help="input bytes that make a shard")] = 64 << 20,
    max_page_bytes: Annotated[int, typer.Option(help="larger records become failures")] = 16 << 20,
    max_page_seconds: Annotated[float, typer.Option(help="CPU time of a page; beyond, it becomes a failure")] = 10,
    output: Annotated[str, typer.Option(help="layout of extracted pages: text or markdown")] = "text",
    repair_mojibake: Annotated[bool, typer.Option(help="mend wrongly decoded text with ftfy")] = False,
    language_model: Annotated[
        str, typer.Option(help="gristmill: the model that comes along; none; or a fastText model's path")
    ] = OWN,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Read crawls and files, extract their text, and add it to the documents of a workspace.

    A second call adds new files and redoes none. Records that cannot be read or hold no text are in failures/.

    Example: gristmill extract crawl/*.warc.gz --workspace W --source crawl
    """
    settings = settings_of(
        ExtractSettings,
        inputs=(Input(paths=tuple(inputs), source=source, domain=domain, format=format),),
        engine=engine,
        text_column=text_column,
        shard_bytes=shard_bytes,
        max_page_bytes=max_page_bytes,
        max_page_seconds=max_page_seconds,
        output=output,
        repair_mojibake=repair_mojibake,
        language_model=None if language_model == "none" else language_model,
    )
    run_and_show(context, EXTRACT, workspace, settings, workers=workers, force=force, as_json=json)
