"""`gristmill tokenize`."""

from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from ..stages.tokenize import TokenizeSettings
from ..stages.tokenize import tokenize as run_tokenize
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, settings_of, show


def tokenize(
    context: typer.Context,
    workspace: WorkspaceOption,
    tokenizer: Annotated[str | None, typer.Option(help="a tokenizer.json to use; without it one is trained")] = None,
    vocab_size: Annotated[int, typer.Option(help="entries of the tokenizer that is trained")] = 4096,
    sample_bytes: Annotated[int, typer.Option(help="text per domain that it is trained on")] = 1_000_000,
    heldout: Annotated[float, typer.Option(help="share of documents held out, drawn by id hash")] = 0.05,
    metadata: Annotated[str, typer.Option(help="prefix for conditioning: none, host, url, source or domain")] = "none",
    bos: Annotated[str | None, typer.Option(help="name of the token that starts a document")] = None,
    eos: Annotated[str | None, typer.Option(help="name of the token that ends a document")] = None,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Train a tokenizer and cut the surviving documents into Arrow token shards, one table per domain.

    Writes tokenizer/tokenizer.json and tokens/<domain>/, each with a train and a held-out split.

    Example: gristmill tokenize --workspace W --vocab-size 8192
    """
    settings = settings_of(
        TokenizeSettings,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        sample_bytes=sample_bytes,
        heldout=heldout,
        metadata=metadata,
        bos=bos,
        eos=eos,
    )
    show(run_tokenize(Workspace(workspace), settings, runner_options(context, workers), force, json), json)
