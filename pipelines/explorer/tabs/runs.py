"""Runs: loss and held-out curves overlaid, by tokens and by time, of this workspace and of those shown beside it."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ....corpus.store.workspace import Workspace
from ...report import models
from ...report.charts import legend, lines, thinned
from ...report.curation import ReportSource
from ...report.text import escape, number, paragraph, short
from ..page import choose, without_style
from ..view import View

MOST = 8  # curves in one chart
AXES = {"tokens": "tokens seen", "time": "hours of training", "step": "steps"}


def runs(view: View) -> str:
    """The tab."""
    logs, cards = _all(view)
    if not logs:
        return paragraph(f"Not run: gristmill train RECIPE --workspace {view.source.name}", "absent")
    axis = view.choice("by", list(AXES), "tokens")
    chosen = [name for name in view.all("run") if name in logs] or list(logs)[:MOST]
    body = _form(view, list(logs), chosen, axis) + models.run_table(logs, cards)
    curves = {name: _along(logs[name], axis) for name in chosen}
    series = [
        (n, thinned([(x, li["loss"]) for x, li in rows if li.get("loss") is not None])) for n, rows in curves.items()
    ]
    series = [(name, curve) for name, curve in series if curve]
    if series:
        drawn = lines(series, (short, number), (AXES[axis], "loss, nats per token"), f"Training loss by {AXES[axis]}")
        body += view.figure("loss drawn", drawn, "Training loss.", legend([name for name, _ in series], "dash"))
    for key, title in _measured(logs, chosen):
        body += _curves(view, curves, key, title, axis)
    ended = {name: card for name, card in cards.items() if name in chosen and "plan" in card}
    return body + without_style(models.realised(ended))


def _all(view: View) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
    logs: dict[str, list[dict[str, Any]]] = {}
    cards: dict[str, dict[str, Any]] = {}
    for workspace in (view.source.workspace, *view.source.beside):
        source = ReportSource(workspace, {}, view.source.connection)
        before = f"{_short_name(workspace)}/" if workspace in view.source.beside else ""
        logs |= {before + name: rows for name, rows in models.metrics(source).items()}
        cards |= {before + name: card for name, card in models.run_cards(source).items()}
    return logs, cards


def _short_name(workspace: Workspace) -> str:
    return workspace.url.rstrip("/").rpartition("/")[2]


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


def _along(log: Sequence[Mapping[str, Any]], axis: str) -> list[tuple[float, Mapping[str, Any]]]:
    """Lines of a log with their place on the axis. Time is that of the tokens at the speed that was logged."""
    if axis != "time":
        return [(float(line[axis]), line) for line in log]
    found, hours, before, speed = [], 0.0, 0, 0.0
    for line in log:
        speed = line.get("tokens_per_second") or speed
        if speed:
            hours += (line["tokens"] - before) / speed / 3600
            found.append((hours, line))
        before = line["tokens"]
    return found


def _measured(logs: Mapping[str, Sequence[Mapping[str, Any]]], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Keys of what was evaluated along the runs: held-out text first, then capabilities."""
    keys = {key for name in chosen for line in logs[name] for key, value in line.items() if isinstance(value, dict)}
    first = [("bits_per_byte", "Held-out bits per byte")] if "bits_per_byte" in keys else []
    return first + [(key, key.replace("_", " ")) for key in sorted(keys - {"bits_per_byte"})]


def _curves(view: View, curves: Mapping[str, Any], key: str, title: str, axis: str) -> str:
    """The mean of the values by run, then each one by itself."""
    means, single = [], {}
    for name, rows in curves.items():
        mean = []
        for x, line in rows:
            values = {n: v for n, v in (line.get(key) or {}).items() if isinstance(v, int | float)}
            if values:
                mean.append((x, statistics.fmean(values.values())))
            for inner, value in values.items():
                single.setdefault(inner, {}).setdefault(name, []).append((x, float(value)))
        if mean:
            means.append((name, mean))
    if not means:
        return ""
    drawn = lines(means, (short, number), (AXES[axis], f"{title}, mean"), f"{title} by {AXES[axis]}", points=True)
    body = f"<h2>{escape(title)}</h2>" + view.figure(f"{key} drawn", drawn, f"{title}, the mean of {len(single)}.",
                                                     legend([name for name, _ in means], "dash"))  # fmt: skip
    small = []
    for inner, by_run in sorted(single.items())[:12]:
        drawn = lines(list(by_run.items()), (short, number), (AXES[axis], inner), f"{title} of {inner}", points=True)
        small.append(view.figure(f"{key} of {inner} drawn", drawn, inner))
    return body + f'<div class="small wide-charts">{"".join(small)}</div>'
