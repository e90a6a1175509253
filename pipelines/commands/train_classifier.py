"""`gristmill filter train-classifier`: train a classifier to be a signal."""

import json as json_text
from dataclasses import asdict
from typing import Annotated

import typer

from .options import JsonOption

Texts = Annotated[
    list[str], typer.Option(help="Parquet or JSON lines with `text`, or one text a line; may be repeated")
]


def train_classifier(
    positive: Texts,
    negative: Texts,
    output: Annotated[str, typer.Option(help="where the fastText model goes")],
    held_out: Annotated[float, typer.Option(help="share of the texts that judge the model", min=0.01, max=0.5)] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the texts")] = 5,
    seed: Annotated[int, typer.Option(help="of the training and the draw of held-out texts")] = 0,
    json: JsonOption = False,
) -> None:
    """Train a fastText classifier and judge it on texts that it did not see.

    Prints precision and recall by threshold and a calibration table. Use it with --classifier and a rule on its score.

    Example: gristmill filter train-classifier --positive good.jsonl --negative crawl.jsonl --output math.bin
    """
    from ...filters.classifiers import read_texts, train

    texts = [[text for path in paths for text in read_texts(path)] for paths in (positive, negative)]
    result = train(texts[0], texts[1], output, share=held_out, epochs=epochs, seed=seed)
    if json:
        typer.echo(json_text.dumps({"model": output} | asdict(result)))
        return
    typer.echo(f"{output}: {result.documents} held-out texts, {result.positive} positive, ROC-AUC {result.auc:.3f}")
    for row in result.thresholds:
        typer.echo(f"  score >= {row['threshold']:.1f}: precision {row['precision']:.3f}, recall {row['recall']:.3f}, "
                   f"keeps {row['kept']:.3f}")  # fmt: skip
    for row in result.calibration:
        typer.echo(f"  scores {row['from']:.1f} to {row['to']:.1f}: {row['documents']} texts, mean score "
                   f"{row['score']:.3f}, positive {row['positive']:.3f}")  # fmt: skip
