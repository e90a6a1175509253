"""`gristmill filter`: measure signals and decide by a rule set; train a classifier to be a signal."""

import json as json_text
from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Literal

import typer

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from ...filters.urls import UrlRules
from ..stages.filter import FilterSettings, run_filter
from .options import ForceOption, JsonOption, WorkersOption, named_files, runner_options, settings_of, show

filter = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
Lists = Annotated[list[str] | None, typer.Option(help="FILE or CATEGORY=FILE, an entry a line; may be repeated")]
Texts = Annotated[
    list[str], typer.Option(help="Parquet or JSON lines with `text`, or one text a line; may be repeated")
]


@filter.callback()
def filter_(
    context: typer.Context,
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="folder or URL that holds the tables")] = "",
    rules: Annotated[str, typer.Option(help="a bundled rule set, or a YAML file of SQL predicates")] = "gopher",
    signals: Annotated[list[str] | None, typer.Option(help="measure this family as well; may be repeated")] = None,
    classifier: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH or NAME=PATH::LABEL of a model; signal classifier_NAME")
    ] = None,
    segmenter: Annotated[
        Literal["icu", "none"], typer.Option(help="words of zh, ja, th, km, lo, my, for gopher@fineweb2; none: null")
    ] = "icu",
    url_lists: Annotated[str | None, typer.Option(help="folder of UT1-style categories; signal url.listed")] = None,
    block_hosts: Lists = None,
    block_domains: Lists = None,
    block_urls: Lists = None,
    block_words: Lists = None,
    soft_words: Lists = None,
    soft_at_least: Annotated[int, typer.Option(min=1, help="different soft words in a URL that drop it")] = 2,
    allow_hosts: Lists = None,
    allow_domains: Lists = None,
    allow_urls: Lists = None,
    all_failing: Annotated[bool, typer.Option(help="record every failing rule in failing_rules/")] = False,
    workers: WorkersOption = 1,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure signals of every document and decide its fate by a rule set.

    Reads documents/, writes signals/ and decisions/filter/. Signals are measured once: other rules decide from what
    is stored, without touching text. The first failing rule, its value and its threshold go on record. Line rules
    (c4, refinedweb) cut lines out of texts and record them in edits/filter/.

    URL lists are files with one entry a line, or CATEGORY=FILE. A domain covers its sub-domains, a host itself alone;
    block words count anywhere in host and path, soft words as whole words. What is listed falls to the rule
    listed_url, unless the rule set reads url.listed itself; what is allowed never does.

    A classifier is a fastText model, or a scikit-learn one that takes texts, stored by skops or joblib. Opening a
    joblib file runs the code in it: give only files that you made.

    Example: gristmill filter --workspace W --rules fineweb
    """
    if context.invoked_subcommand is not None:
        return
    if not workspace:
        raise RequestError("filter needs --workspace")
    lists = {"block_hosts": block_hosts, "block_domains": block_domains, "block_urls": block_urls,
             "block_words": block_words, "soft_words": soft_words, "allow_hosts": allow_hosts,
             "allow_domains": allow_domains, "allow_urls": allow_urls}  # fmt: skip
    settings = settings_of(
        FilterSettings,
        rules=rules,
        families=tuple(signals or ()),
        all_failing=all_failing,
        classifiers=named_files("--classifier", classifier),
        urls=_url_rules(url_lists, {kind: given for kind, given in lists.items() if given}, soft_at_least),
        segmenter=segmenter,
    )
    show(run_filter(Workspace(workspace), settings, runner_options(context, workers), force, quiet=json), json)


def _url_rules(folder: str | None, lists: dict[str, list[str]], soft_at_least: int) -> UrlRules | None:
    """The rules that the options make, None where no list is given."""
    if folder is None and not lists:
        return None
    files: dict[str, dict[str, str]] = {}
    for kind, given in lists.items():
        files[kind] = {}
        for entry in given:
            name, path = entry.split("=", 1) if "=" in entry else (PurePath(entry).stem, entry)
            if name in files[kind]:
                raise RequestError(f"--{kind.replace('_', '-')}: two lists named {name!r}: give CATEGORY=FILE")
            files[kind][name] = path
    return settings_of(UrlRules, folder=folder, soft_at_least=soft_at_least, **files)


@filter.command("train-classifier")
def train_classifier(
    positive: Texts,
    negative: Texts,
    output: Annotated[str, typer.Option(help="where the fastText model goes")],
    held_out: Annotated[float, typer.Option(help="share of the texts that judge the model", min=0.01, max=0.5)] = 0.1,
    epochs: Annotated[int, typer.Option(min=1)] = 5,
    seed: int = 0,
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
