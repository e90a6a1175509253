"""`gristmill checkpoints`: measure what runs saved, average branches, and export a model."""

import json
import math
import os
import sys
from typing import Annotated

import typer

from .options import JsonOption, WorkspaceOption, open_workspace

checkpoints = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure checkpoints; average branches; export."
)

Folders = Annotated[list[str], typer.Argument(help="folders of checkpoints or of runs", metavar="FOLDER...")]


@checkpoints.command("average")
def average(
    folders: Folders,
    output: Annotated[str, typer.Option(help="folder of the checkpoint to write")],
    weight: Annotated[list[float] | None, typer.Option(help="of each folder, in order; alike without it")] = None,
    as_json: JsonOption = False,
) -> None:
    """Average checkpoints of one shape into a new one, which train --branch, score and tag read like any other.

    Branch-Train-Merge: gristmill train law.yaml --branch W/runs/base --name law, the same for each domain, then this.

    Example: gristmill checkpoints average W/runs/law W/runs/maths --output W/merged
    """
    from ...training.branches import merge

    state = merge(folders, output, weight)
    if as_json:
        sys.stdout.write(json.dumps(state) + "\n")
        return
    for part in state["merged"]:
        sys.stdout.write(f"checkpoints: {part['weight']:.4f} of {part['from']}\n")
    sys.stdout.write(f"checkpoints: wrote {output}\n")


@checkpoints.command("measure")
def measure(
    folders: Folders,
    workspace: WorkspaceOption,
    target: Annotated[list[str] | None, typer.Option(help="file of a target task; may be repeated")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="all folders as one model that mixes them")] = False,
    tokens: Annotated[int, typer.Option(min=1, help="held-out tokens of each domain")] = 50_000,
    items: Annotated[int, typer.Option(min=1, help="of each target")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Held-out bits per byte and target tasks of checkpoints; of a run, all that it kept: its capability curve.

    A run keeps the newest two checkpoints; `loop: {keep: 1000}` in its settings keeps more.

    Example: gristmill checkpoints measure W/runs/base --workspace W --target targets/arc_easy.jsonl
    """
    from ..stages.train.checkpoints import measure as measured

    rows = measured(open_workspace(workspace), folders, target or (), ensemble, tokens, items)
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for row in rows:
        name = row["checkpoint"] if ensemble else os.path.relpath(row["checkpoint"])
        sys.stdout.write(f"{name} (step {row['step']})\n")
        for domain, value in row["bits_per_byte"].items():
            sys.stdout.write(f"  {domain}  bits_per_byte {value:.4f}\n")
        for task, scores in row["targets"].items():
            told = "  ".join(f"{key} {value:.4f}" for key, value in scores.items())
            sys.stdout.write(f"  {task}  {told}\n")


@checkpoints.command("sample")
def sample(
    folders: Folders,
    prompt: Annotated[
        list[str] | None, typer.Option(help="beginning that the model writes on behind; may be repeated")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="that it writes at most behind each")] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="of the draws; 0: the most likely token each time")] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="of the draws; equal weights and seeds give equal text")] = 0,
    tokenizer: Annotated[
        str | None, typer.Option(help="the tokenizer.json of the run; default: that of its workspace")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="put them into the samples.jsonl of their runs as well")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the models of checkpoints write: of a run, all that it kept. Without a prompt each begins a document.

    A run writes samples itself, whenever it measures held-out text, where its settings have samples: {prompts: [..]}.

    Example: gristmill checkpoints sample W/runs/base --prompt "The mill" --keep
    """
    from ...corpus.store.errors import RequestError
    from ...training.loop_settings import SampleSettings
    from ..stages.train.checkpoints import sample as sampled

    if not math.isfinite(temperature):
        raise RequestError(f"--temperature {temperature:g}: a finite number, 0 or above")
    settings = SampleSettings(prompts=tuple(prompt or ("",)), tokens=tokens, temperature=temperature, seed=seed)
    rows = sampled(folders, settings, tokenizer, keep)
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for row in rows:
        sys.stdout.write(f"{os.path.relpath(row['checkpoint'])} (step {row['step']})\n")
        sys.stdout.write(f"  {row['prompt']}{row['text']}\n")


@checkpoints.command("export")
def export(
    folder: Annotated[str, typer.Argument(help="folder of a run (its newest checkpoint) or of a checkpoint")],
    output: Annotated[str, typer.Option(help="folder to write")],
    to: Annotated[str, typer.Option(help="hf: what transformers loads, Qwen3 with QK-norm, Llama without")] = "hf",
    tokenizer: Annotated[
        str | None, typer.Option(help="the tokenizer.json of the run; default: that of its workspace")
    ] = None,
    bos: Annotated[str | None, typer.Option(help="as gristmill tokenize was told")] = None,
    eos: Annotated[str | None, typer.Option(help="as gristmill tokenize was told")] = None,
    dtype: Annotated[str, typer.Option(help="of the weights: float32, bfloat16 or float16")] = "float32",
    as_json: JsonOption = False,
) -> None:
    """Write a model as a folder that transformers, and all that builds on it, loads as an architecture of its own.

    Its logits are equal. lm-evaluation-harness runs on it (pip install lm-eval; documents began with the start token):

    lm_eval --model hf --model_args pretrained=OUT,dtype=float32,add_bos_token=True --tasks arc_easy,hellaswag

    Example: gristmill checkpoints export W/runs/base --to hf --output OUT
    """
    from ...corpus.store.errors import unknown_name
    from ...training.interchange.hugging_face import EVALUATION
    from ...training.interchange.hugging_face import export as exported
    from ..stages.train.checkpoints import tokenizer_text

    if to != "hf":
        raise unknown_name("format of models", to, ["hf"])
    told = exported(folder, output, tokenizer_text(folder, tokenizer), dtype, bos, eos)
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return
    sys.stdout.write(f"checkpoints: wrote {output}, a {told['architectures'][0]}\n")
    sys.stdout.write(f"evaluate it by: {EVALUATION.format(folder=output, dtype=dtype)}\n")
