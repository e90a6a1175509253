"""`gristmill dedup-files` and `gristmill filter-files`: from files to files, for whoever wants nothing else.

A workspace serves beneath: beside the output where that is a local folder, else in the folder of temporary files. The
same command goes on with it where it was stopped; when it is done, the workspace goes. Refuses what `extract`, the
stage and `write` refuse.
"""

import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer

from ...engine.record import StageRecord
from ..options import ClusterOption, JsonOption, PluginOption, WorkersOption, runner_options, settings_of
from ..stage_command import stage_options, values_of

Inputs = Annotated[list[str], typer.Argument(help="files, folders, globs or URLs", metavar="IN...", show_default=False)]
Output = Annotated[str, typer.Option("--output", "-o", help="folder or fsspec URL to write to")]
Format = Annotated[
    Literal["auto", "parquet", "jsonl.gz", "jsonl.zst", "jsonl", "arrow", "hf"],
    typer.Option("--format", help="of the output; auto: Parquet or Arrow where the input is, else jsonl.gz"),
]
TextColumn = Annotated[
    str | None,
    typer.Option("--text-column", help="column that holds the text; default: text, content, raw_content, body"),
]
Dropped = Annotated[str | None, typer.Option("--dropped", help="folder to write what falls to, with the reason")]
OWN = {"inputs": Inputs, "output": Output, "format": Format, "text_column": TextColumn, "dropped": Dropped}
BESIDE = {"plugin": PluginOption, "workers": WorkersOption, "cluster": ClusterOption, "json": JsonOption}
DEFAULTS: dict[str, Any] = {
    "format": "auto",
    "text_column": None,
    "dropped": None,
    "plugin": None,
    "workers": 1,
    "cluster": None,
    "json": False,
}
EMPTY = inspect.Parameter.empty


def _record(name: str) -> StageRecord:
    from ...engine.registry import record_of

    return record_of(name)


def _command(stage: str, about: str) -> Callable[..., None]:
    """The command that runs one stage from files to files, with the stage's own options."""
    options = [option for option in stage_options(_record(stage).load("settings")) if not option.argument]

    def command(context: typer.Context, **given: Any) -> None:
        summary = run_files(context, stage, given, values_of(options, given))
        if given["json"]:
            import json

            sys.stdout.write(json.dumps(summary) + "\n")
            return
        sys.stdout.write(
            f"{stage}-files: in {summary['in']:,}, kept {summary['kept']:,}, dropped {summary['dropped']:,}, "
            f"failed {summary['failed']:,}; wrote {summary['files']:,} files to {given['output']}\n"
        )
        for reason, number in summary["reasons"].items():
            sys.stdout.write(f"  {reason}: {number:,}\n")

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
    for name, declared in (OWN | BESIDE).items():
        parameters.append(inspect.Parameter(name, kind, default=DEFAULTS.get(name, EMPTY), annotation=declared))
    taken = {parameter.name for parameter in parameters}
    parameters += [option.parameter() for option in options if option.name not in taken]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = about
    return command


def run_files(
    context: typer.Context, stage: str, given: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Extract, run the stage, write. {in, kept, dropped, failed, files, reasons}."""
    from ....corpus.readers.inputs import Input, resolve
    from ....corpus.store.catalog import open_catalog
    from ....corpus.store.workspace import Workspace
    from ...engine.invocation import Checking, Invocation
    from ...stages.write.settings import WriteSettings

    place = work_place(given["output"], stage, given["inputs"])
    workspace = Workspace(place)
    runner, quiet = runner_options(context, given["workers"], cluster=given["cluster"]), given["json"]
    inputs = (Input(paths=tuple(given["inputs"])),)
    format: Any = given["format"] if given["format"] != "auto" else _format(resolve(inputs))
    own = {"text_column": given["text_column"], "language_model": "none" if stage == "dedup" else "gristmill"}
    own["language_model"] = None if own["language_model"] == "none" else own["language_model"]
    writes = [WriteSettings(output=given["output"], format=format)]
    if given["dropped"]:
        writes.append(WriteSettings(output=given["dropped"], format=format, dropped=True))
    steps: list[tuple[str, Any]] = [
        ("extract", settings_of(_record("extract").load("settings"), inputs=inputs, **own)),
        (stage, settings_of(_record(stage).load("settings"), **values)),
        *(("write", settings) for settings in writes),
    ]
    summaries = []
    for name, settings in [*steps]:
        if name == stage:
            continue  # its rules may name columns of the documents, so that it is checked once they are there
        _record(name).load("check")(Checking(settings, workspace, {name: settings}))
    for name, settings in steps:
        record = _record(name)
        if name == stage:
            record.load("check")(Checking(settings, workspace, {name: settings}))
        asked = Invocation(record, workspace, lambda made=settings: made, None, runner, True, quiet)
        summaries.append(asked.run())
    counts = summaries[0]["tables"]["documents"]
    decided = summaries[1]["tables"][f"decisions/{stage}"]
    with open_catalog(workspace) as catalog:
        query = "select rule, count(*) from decisions where not kept group by all order by 2 desc, 1"
        reasons = dict(catalog.execute(query).fetchall())
        failed = catalog.execute(
            "select error, count(*) from failures group by all order by 2 desc, 1 limit 5"
        ).fetchall()
    found = {
        "in": counts["in"],
        "kept": decided["kept"],
        "dropped": decided["dropped"],
        "failed": counts["failed"],
        "files": summaries[2]["details"]["files"],
        "reasons": reasons | {f"failed: {error[:120]}": number for error, number in failed},
    }
    shutil.rmtree(place)
    return found


def work_place(output: str, stage: str, inputs: list[str]) -> str:
    """Where the workspace beneath lies: the same for the same command."""
    from ....corpus.store.shards import fingerprint

    name = f".gristmill-{stage}-{fingerprint(output, sorted(inputs))[:12]}"
    if "://" in output:
        return os.path.join(tempfile.gettempdir(), name)
    return os.path.join(os.path.dirname(os.path.abspath(os.path.expanduser(output))), name)


def _format(sources: list[Any]) -> str:
    kinds = {source.format for source in sources}
    return kinds.pop() if kinds in ({"parquet"}, {"arrow"}) else "jsonl.gz"


dedup_files = _command(
    "dedup",
    """Take duplicates and near-duplicates out of files of documents: files in, files out, no workspace to know of.

    Rows come out as they came in, with all of their columns. Killed, the same command goes on.

    Example: gristmill dedup-files corpus/*.jsonl.gz --output deduplicated --threshold 0.8""",
)
filter_files = _command(
    "filter",
    """Filter files of documents by a rule set: files in, files out, no workspace to know of.

    Rows come out as they came in, with all of their columns; rules that cut lines change the text. Killed, the same
    command goes on.

    Example: gristmill filter-files corpus/*.parquet --output filtered --rules fineweb""",
)
