"""`gristmill decontaminate`: drop or cut what evaluation sets hold."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

import typer

from ...corpus.store.errors import RequestError
from ..stages.decontaminate.stage import DecontaminateSettings
from ..stages.decontaminate.stage import decontaminate as stage
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, run_and_show, settings_of


def decontaminate(
    context: typer.Context,
    sets: Annotated[list[str], typer.Argument(help="JSONL files of evaluation examples, PATH or NAME=PATH")],
    workspace: WorkspaceOption,
    n: Annotated[int, typer.Option("--n", help="words that must agree")] = 13,
    shortest: Annotated[int, typer.Option(help="words of the shortest example that is looked for")] = 8,
    tolerance: Annotated[
        float, typer.Option(help="share of an example's words that a near copy may have changed; 0: exact only")
    ] = 0.15,
    audit: Annotated[
        str | None, typer.Option(help="also score every example with this proxy model: has it seen them?")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="of that model; default: tokenizer.json beside it")] = None,
    action: Annotated[Literal["drop", "mask"], typer.Option(help="drop the document, or cut the piece out")] = "drop",
    workers: WorkersOption = 1,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Find pieces of evaluation sets in the documents that the filter kept.

    Reads documents/, writes decisions/decontaminate/ and contamination/, which tells the task, the example and the
    place of every hit. Case and punctuation do not hide a copy, nor do a few changed words.

    --audit MODEL writes contamination_audit/: whether each example was found, and how likely the model was trained on
    it by Min-K%++, DC-PDD and zlib ratio (larger: likelier). `gristmill score color` leaves such a model in proxies/.

    Example: gristmill decontaminate arc=arc_easy.jsonl boolq.jsonl --workspace W
    """
    named: dict[str, str] = {}
    for entry in sets:
        name, _, path = entry.partition("=") if "=" in entry else (PurePosixPath(entry).stem, "", entry)
        if name in named:
            raise RequestError(f"two evaluation sets named {name!r}; name them apart: NAME=PATH")
        named[name] = path
    settings = settings_of(
        DecontaminateSettings, sets=named, n=n, shortest=shortest, tolerance=tolerance, action=action
    )
    run = {"workers": workers, "force": force, "as_json": json}
    run_and_show(context, stage, workspace, settings, **run)
    if audit is not None:
        from ..stages.decontaminate.exposure import ExposureSettings, exposure

        run_and_show(
            context, exposure, workspace, ExposureSettings(sets=named, model=audit, tokenizer=tokenizer), **run
        )
