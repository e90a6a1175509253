"""Runs: loss, held-out text and capabilities along training, overlaid by tokens, time or steps, and samples of what
models wrote; of this workspace and of those shown beside it.

The logs are put into tables, `shown.metrics`, `shown.measures` and `shown.samples`, so that SQL can ask for them too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ....corpus.sql import literal
from ...report import models
from ...report.charts import legend, lines, thinned
from ...report.curation import ReportSource
from ...report.text import count, escape, number, paragraph, short
from ..page import choose, without_style
from ..source import named
from ..view import View

MOST = 8  # curves in one chart
SMALL = 12  # charts of single domains or tasks
SAMPLES = 60  # samples that are shown
AXES = {"tokens": "tokens seen", "hours": "hours of training", "step": "steps"}
PLAIN = ("loss", "lr", "tokens_per_second", "mfu")
METRICS = pa.schema([("run", pa.string()), ("step", pa.int64()), ("tokens", pa.int64()), ("hours", pa.float64()),
                     *((name, pa.float64()) for name in PLAIN)])  # fmt: skip
MEASURES = pa.schema([("run", pa.string()), ("step", pa.int64()), ("tokens", pa.int64()), ("hours", pa.float64()),
                      ("measure", pa.string()), ("name", pa.string()), ("value", pa.float64())])  # fmt: skip
TITLES = {"bits_per_byte": "Held-out bits per byte", "shares": "Shares of domains while they move"}


def runs(view: View) -> str:
    """The tab."""
    logs, cards = _all(view)
    if not logs:
        return paragraph(f"Not run: gristmill train RECIPE --workspace {view.source.name}", "absent")
    axis = view.choice("by", list(AXES), "tokens")
    chosen = [name for name in view.all("run") if name in logs] or list(logs)[:MOST]
    timed = {name: _timed(log) for name, log in logs.items()}
    metrics = [_plain(name, line) for name, rows in timed.items() for line in rows]
    measured = [one for name, rows in timed.items() for line in rows for one in _measures(name, line)]
    metrics_sql = view.source.give("metrics", pa.Table.from_pylist(metrics, METRICS))
    measures_sql = view.source.give("measures", pa.Table.from_pylist(measured, MEASURES))
    body = _form(view, list(logs), chosen, axis) + models.run_table(logs, cards)
    body += _loss(view, metrics_sql, chosen, axis)
    kinds = sorted({row["measure"] for row in measured if row["run"] in chosen}, key=_order)
    for kind in kinds:
        body += _curves(view, measures_sql, kind, chosen, axis)
    ended = {name: card for name, card in cards.items() if name in chosen and "plan" in card}
    return body + _samples(view, chosen) + without_style(models.realised(ended))


def _sources(view: View) -> Iterator[tuple[str, ReportSource]]:
    """What the names of a workspace's runs begin with, and the workspace as the report reads it."""
    yield "", ReportSource(view.source.workspace, {}, view.source.connection)
    known: set[str] = set()
    for workspace in view.source.beside:
        name = workspace.url.rstrip("/").rpartition("/")[2]
        while name in known:  # two workspaces of one name
            name += "'"
        known.add(name)
        yield f"{name}/", ReportSource(workspace, {}, view.source.connection)


def _all(view: View) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
    logs: dict[str, list[dict[str, Any]]] = {}
    cards: dict[str, dict[str, Any]] = {}
    for before, source in _sources(view):
        logs |= {before + name: rows for name, rows in models.metrics(source).items()}
        cards |= {before + name: card for name, card in models.run_cards(source).items()}
    return logs, cards


def _form(view: View, names: Sequence[str], chosen: Sequence[str], axis: str) -> str:
    boxes = "".join(
        f'<label class="check"><input type="checkbox" name="run" value="{escape(name)}"'
        f"{' checked' if name in chosen else ''}> {escape(name)}</label>"
        for name in names
    )
    return (
        f'<form class="choices" action="runs"><fieldset><legend>Runs</legend>{boxes}</fieldset>'
        + choose("by", "Along", list(AXES.items()), axis)
        + "<button>Show</button></form>"
    )


def _timed(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines of a log with the hours that lie behind each: those of its tokens at the speed that was logged; None before
    a speed was."""
    found, hours, before, speed = [], 0.0, 0, 0.0
    for line in log:
        speed = line.get("tokens_per_second") or speed
        if speed:
            hours += (line["tokens"] - before) / speed / 3600
        found.append({**line, "hours": hours if speed else None})
        before = line["tokens"]
    return found


def _plain(run: str, line: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: line.get(name) for name in ("step", "tokens", "hours", *PLAIN)}
    return {"run": run, **{name: value if isinstance(value, int | float) else None for name, value in own.items()}}


def _measures(run: str, line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What was measured at a step: held-out text by domain, and each score of each target task."""
    at = {"run": run, "step": line["step"], "tokens": line["tokens"], "hours": line["hours"]}
    for key, told in line.items():
        if not isinstance(told, Mapping):
            continue
        for name, value in told.items():
            scores = value.items() if isinstance(value, Mapping) else [("", value)]
            for score, one in scores:
                if isinstance(one, int | float) and not isinstance(one, bool):
                    measure = f"{key}: {score}" if score else key
                    yield {**at, "measure": measure, "name": str(name), "value": float(one)}


def _order(measure: str) -> tuple[int, str]:
    """Held-out text first, then capabilities, the scores that small models move first ahead."""
    first = ("bits_per_byte", "targets: bits_per_byte", "targets: accuracy", "targets: margin")
    return (first.index(measure) if measure in first else len(first), measure)


def _loss(view: View, metrics: str, chosen: Sequence[str], axis: str) -> str:
    rows = view.rows(
        "training loss",
        f"select run, {axis} as along, loss from {metrics} where run in ({', '.join(map(literal, chosen))}) "
        f"and loss is not null and {axis} is not null order by run, along",
    )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for run, x, loss in rows:
        found[run].append((float(x), loss))
    series = [(name, thinned(curve)) for name, curve in found.items() if curve]
    view.offer("metrics of runs", f"select * from {metrics}")
    if not series:
        return ""
    drawn = lines(series, (short, number), (AXES[axis], "loss, nats per token"), f"Training loss by {AXES[axis]}")
    return view.figure("loss drawn", drawn, "Training loss.", legend([name for name, _ in series], "dash"))


def _curves(view: View, measures: str, kind: str, chosen: Sequence[str], axis: str) -> str:
    """The mean of the values by run, then each one by itself."""
    rows = view.rows(
        kind,
        f"select run, name, {axis} as along, value from {measures} where measure = {literal(kind)} and run in "
        f"({', '.join(map(literal, chosen))}) and {axis} is not null and not isnan(value) order by run, name, along",
    )
    single: dict[str, dict[str, list[tuple[float, float]]]] = {}
    together: dict[str, dict[float, list[float]]] = {name: {} for name in chosen}
    for run, name, x, value in rows:
        single.setdefault(name, {}).setdefault(run, []).append((float(x), value))
        together[run].setdefault(float(x), []).append(value)
    if not rows:
        return ""
    task, _, score = kind.partition(": ")
    title = TITLES.get(kind) or f"{(score or task).replace('_', ' ')}{', on targets' if task == 'targets' else ''}"
    title = title[0].upper() + title[1:]
    body = f"<h2>{escape(title)}</h2>"
    if kind != "shares":
        means = [(n, [(x, sum(v) / len(v)) for x, v in by.items()]) for n, by in together.items() if by]
        drawn = lines(means, (short, number), (AXES[axis], f"{title}, mean"), f"{title} by {AXES[axis]}", points=True)
        above = legend([name for name, _ in means], "dash")
        body += view.figure(f"{kind} drawn", drawn, f"{title}, the mean of {len(single)}.", above)
    small = []
    for name, by_run in sorted(single.items())[:SMALL]:
        drawn = lines(list(by_run.items()), (short, number), (AXES[axis], name), f"{title} of {name}", points=True)
        small.append(view.figure(f"{kind} of {name} drawn", drawn, name))
    more = f"The first {SMALL} of {count(len(single))}." if len(single) > SMALL else ""
    return body + f'<div class="small wide-charts">{"".join(small)}</div>' + (paragraph(more, "lead") if more else "")


def _samples(view: View, chosen: Sequence[str]) -> str:
    """What the models wrote at each measuring, the latest first."""
    rows = []
    for before, source in _sources(view):
        for name, told in models.samples(source).items():
            rows += [{"run": before + name, **_sample(line)} for line in told]
    if not any(row["run"] in chosen for row in rows):
        told = "No samples: settings of train with samples: {prompts: […]} write some, or gristmill checkpoints sample."
        return "<h2>Samples</h2>" + paragraph(told, "absent")
    table = view.source.give("samples", pa.Table.from_pylist(rows))
    shown = view.records(
        "samples",
        f"select run, step, prompt, text from {table} where run in ({', '.join(map(literal, chosen))}) "
        f"order by step desc, run, {named('place')} limit {SAMPLES}",
    )
    body = "".join(
        f'<article class="row"><p class="sub">{escape(row["run"])}, step {count(row["step"])}</p>'
        f'<p class="sample"><b>{escape(row["prompt"])}</b>{escape(row["text"])}</p></article>'
        for row in shown
    )
    if len(rows) > len(shown):
        body += paragraph(f"The latest {count(len(shown))} of {count(len(rows))}.", "lead")
    return "<h2>Samples</h2>" + body


def _sample(line: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: line.get(name) for name in ("step", "place", "prompt", "text", "temperature", "seed")}
    return told | {"prompt": told["prompt"] or ""}
