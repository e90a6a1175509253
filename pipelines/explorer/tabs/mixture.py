"""Mixture: the swarm, how each target answers to each domain's share, what was predicted and measured, and the verdict.

Reads the files of the finished `mixture/` and shares the report's sections. Responses and their intervals are those of
a Gaussian process over the swarm, the same surrogate as the decision card's: nothing is trained or decided here.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ....corpus.store.errors import RequestError, of_an_extra
from ....mixing.recipe import load_recipe
from ...report import models
from ...report.charts import legend, lines
from ...report.curation import ReportSource
from ...report.text import bits, count, escape, paragraph, percent, table
from ..drawings import intervals, parallel
from ..page import choose, without_style
from ..view import View

if TYPE_CHECKING:
    from ....mixing.swarm import Swarm

POINTS = 15  # of a response
WIDTH = 1.645  # deviations: an interval of 90 %
CHARTS = 12
VERDICT = re.compile(r'<p class="verdict">.*?</p>')  # told at the top of the tab
MARKED = ("natural", "uniform", "fitted")


def report_source(view: View) -> ReportSource:
    """The workspace as the report's sections see it."""
    workspace = view.source.workspace
    held = {one.name: one.finished("explore") for one in workspace.tables()}
    return ReportSource(workspace, held, view.source.connection)


def mixture(view: View) -> str:
    """The tab."""
    stale = view.source.stale.get("mixture", "")
    warned = f'<p class="warn">{escape(stale)}</p>' if stale else ""
    source = report_source(view)
    swarm = models.read_parquet(source, "swarm.parquet")
    fit = models.read_fit(source)
    if not fit:
        return warned + paragraph(f"Not run: gristmill mix --workspace {source.name}", "absent")
    body = warned + _verdict(view, fit)
    _files(view, source)
    for title, section in (("Shares", models.mixture(source)), ("Measured", models.comparison(source))):
        if section.missing is None:
            body += f"<h2>{title}</h2>{view.figures(title.lower(), without_style(VERDICT.sub('', section.body)))}"
    body += _foretold(view, fit)
    if swarm and "weights" in swarm[0]:
        body += _swarm(view, swarm, fit)
        body += with_models("Responses of the losses to shares", lambda: _responses(view, swarm, fit))
    section = models.predictions(source)
    if section.missing is None:
        body += f"<h2>Predicted and measured</h2>{view.figures('predictions', without_style(section.body))}"
    return body + _recipes(view)


def with_models(what: str, made: Callable[[], str]) -> str:
    """A part of a page that needs a library of an extra; where that is not installed, a sentence that names it."""
    try:
        return made()
    except ImportError as error:
        missing = of_an_extra(error)
        if missing is None:
            raise
        return paragraph(f"{what} are not shown: {missing}", "absent")


def _files(view: View, source: ReportSource) -> None:
    """The tables of the mixture, for SQL and as files: shares, and every measure of the swarm and of the validation."""
    view.given("shares", "shares", models.read_parquet(source, "table.parquet"))
    for name in ("validation", "swarm"):
        rows = []
        for row in models.read_parquet(source, f"{name}.parquet"):
            run = {key: row.get(key) for key in ("mixture", "seed", "step", "tokens", "alive")}
            for kind in ("weights", "losses"):
                rows += [{**run, "kind": kind, "name": one, "value": v} for one, v in (row.get(kind) or {}).items()]
        view.given(f"{name}, a row each weight and loss", name, rows)


def _verdict(view: View, fit: dict[str, Any]) -> str:
    """Which candidate was handed over, by how much, and the card."""
    told = fit["validation"]
    measured = [{"mixture": name, **{k: v for k, v in row.items() if not isinstance(v, dict)}}
                for name, row in sorted(told.get("mixtures", {}).items())]  # fmt: skip
    view.given("verdict", "verdict", measured)
    return f'<p class="verdict">{escape(told["verdict"])}</p>' + with_models("Lines of the card", lambda: _card(fit))


def _card(fit: dict[str, Any]) -> str:
    card = fit.get("card")
    if not card:
        return ""
    from ....mixing.card import card_lines, pairs_of

    chosen = fit.get("chosen", "fitted")
    listed = card_lines(chosen, {**card, "pairs": pairs_of(card, chosen)})
    return f"<h2>Decision card</h2><ul>{''.join(f'<li>{escape(one)}</li>' for one in listed)}</ul>"


def _foretold(view: View, fit: dict[str, Any]) -> str:
    """Predictions with their intervals beside what was measured, by candidate."""
    validated = fit["validation"]["mixtures"]
    rows = [
        (
            models.spoken(name),
            row["predicted"],
            row["low"],
            row["high"],
            validated.get(name, {}).get("bits_per_byte"),
        )
        for name, row in sorted(fit["predicted"].items(), key=lambda item: item[1]["predicted"])
        if row.get("predicted") is not None
    ]
    if not rows:
        return ""
    names = ("candidate", "predicted", "low", "high", "measured")
    view.given("candidates", "candidates", [dict(zip(names, row, strict=True)) for row in rows])
    drawn = intervals(rows, bits, "bits per byte on the target", "Candidates: predicted with an interval, and measured")
    caption = "Dots with their interval of 90 % are predicted, for the proxies of the swarm; rings are measured."
    return "<h2>Candidates</h2>" + view.figure("candidates drawn", drawn, caption)


def _final(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max(row["step"] for row in rows)
    return [row for row in rows if row["step"] == last and row["alive"]]


def _combined(row: dict[str, Any], target: dict[str, float]) -> float:
    return sum(weight * row["losses"][name] for name, weight in target.items() if weight)


def _swarm(view: View, rows: list[dict[str, Any]], fit: dict[str, Any]) -> str:
    """The swarm in parallel coordinates, better runs darker."""
    final = _final(rows)
    names = sorted(final[0]["weights"], key=lambda name: -float(np.mean([row["weights"][name] for row in final])))
    names = names[:16]
    values = np.array([_combined(row, fit["target"]) for row in final])
    order = values.argsort().argsort()
    runs = [
        (
            [row["weights"][name] for name in names],
            1 - float(order[n]) / max(1, len(final) - 1),
            f"{row['mixture']}:{row['seed']}: {bits(values[n])} bits per byte on the target",
        )
        for n, row in enumerate(final)
    ]
    shares = models.read_parquet(report_source(view), "table.parquet")
    by_name = {(row["mixture"], row["domain"]): row["share"] for row in shares}
    marked = [
        (name, [by_name.get((name, one), 0.0) for one in names]) for name in MARKED if (name, names[0]) in by_name
    ]
    told = (
        f"{count(len(final))} runs of the swarm over {len(names)} domains; darker lines reached lower loss "
        "on "
        "the target."
    )
    drawn = parallel(names, runs, lambda share: f"{100 * share:.0f} %", told, marked)
    above = legend([name for name, _ in marked], "dash") if marked else ""
    return "<h2>Swarm</h2>" + view.figure("swarm drawn", drawn, told, above)


def _responses(view: View, rows: list[dict[str, Any]], fit: dict[str, Any]) -> str:
    """Each target along one domain's share, the others in proportion, with intervals; and interactions."""
    final = _final(rows)
    domains = sorted(final[0]["weights"])
    targets = sorted(final[0]["losses"])
    domain = view.choice("domain", domains) or max(domains, key=lambda one: fit["target"].get(one, 0.0))
    form = (
        '<form class="choices" action="mixture">'
        + choose("domain", "Share of", [(name, name) for name in domains], domain)
        + "<button>Show</button></form>"
    )
    from ....mixing.search.responses import moved

    swarm = swarm_of(final, domains, targets)
    centre = np.array([np.mean([row["weights"][name] for row in final]) for name in domains])
    place = domains.index(domain)
    shares = np.linspace(0.0, float(swarm.weights[:, place].max()), POINTS)
    mixtures = np.vstack([moved(centre, place, share) for share in shares])
    charts, told = [], []
    for t, target in enumerate(targets):
        value, deviation = _surrogate(view, swarm, t).predict(mixtures)
        change, spread = value[-1] - value[0], float(np.hypot(deviation[0], deviation[-1]) * WIDTH)
        told.append((target, change, spread))
        if len(charts) < CHARTS:
            middle = [(float(x), float(y)) for x, y in zip(shares, value, strict=True)]
            low = [(float(x), float(y)) for x, y in zip(shares, value - WIDTH * deviation, strict=True)]
            high = [(float(x), float(y)) for x, y in zip(shares, value + WIDTH * deviation, strict=True)]
            series = [(target, middle), ("low", low), ("high", high)]
            drawn = lines(series, (_share, bits), (f"share of {domain}", "bits per byte"), f"{target} along {domain}")
            charts.append(
                view.figure(
                    f"response of {target} drawn", drawn, f"{target}: from {bits(value[0])} to {bits(value[-1])}."
                )
            )
    listed = [
        (name, f"{change:+.4f}", f"{change - spread:+.4f} to {change + spread:+.4f}",
         "falls" if change + spread < 0 else "rises" if change - spread > 0 else "not told apart from none")
        for name, change, spread in sorted(told, key=lambda one: one[1])
    ]  # fmt: skip
    rows_told = [
        {"share_of": domain, "target": name, "change": change, "low": change - spread, "high": change + spread}
        for name, change, spread in told
    ]
    view.given("responses", "responses", rows_told)
    said = (
        f"What the loss of each text does when the share of {domain} rises from 0 to {percent(shares[-1])} "
        "and the others "
        f"keep their proportions: a Gaussian process over the {count(len(final))} runs, intervals of 90 %."
    )
    header = ("held-out text", "change of bits per byte", "90 % interval", "")
    return (
        f"<h2>Responses</h2>{form}{paragraph(said, 'lead')}{table(header, listed)}"
        f'<div class="small wide-charts">{"".join(charts)}</div>' + _interactions(view, swarm, centre, fit)
    )


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def swarm_of(final: list[dict[str, Any]], domains: list[str], targets: list[str]) -> "Swarm":
    """The last evaluations of the swarm's runs."""
    from ....mixing.swarm import Swarm

    return Swarm(
        tuple(domains),
        tuple(targets),
        np.array([[row["weights"][name] for name in domains] for row in final]),
        np.array([[row["losses"][name] for name in targets] for row in final]),
        tuple(f"{row['mixture']}:{row['seed']}" for row in final),
    )


def _surrogate(view: View, swarm: "Swarm", target: int) -> Any:
    """The Gaussian process of one target, fitted once a state of the workspace."""
    from ....mixing.search.rounds import surrogate_of

    held = view.source.fitted
    if target not in held:
        combination = np.zeros(len(swarm.targets))
        combination[target] = 1.0
        held[target] = surrogate_of(swarm, combination)
    return held[target]


def _interactions(view: View, swarm: "Swarm", centre: np.ndarray, fit: dict[str, Any]) -> str:
    """What moving two domains together gives beyond moving each alone, on the target."""
    from ....mixing.search.responses import moved

    step = np.minimum(0.05, (1 - centre) / 4)
    weights = [
        (swarm.targets.index(name), weight)
        for name, weight in fit["target"].items()
        if weight and name in swarm.targets
    ]
    if not weights or len(centre) > 24:
        return ""
    size = len(centre)
    rows = [centre] + [moved(centre, a, centre[a] + step[a]) for a in range(size)]
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    for a, b in pairs:
        both = centre + np.eye(size)[a] * step[a] + np.eye(size)[b] * step[b]
        others = np.setdiff1d(np.arange(size), [a, b])
        rest = 1 - both[a] - both[b]
        both[others] *= rest / both[others].sum() if both[others].sum() > 0 else 0
        rows.append(both / both.sum())
    told = [w * _surrogate(view, swarm, t).predict(np.vstack(rows))[0] for t, w in weights]
    value = np.sum(told, axis=0)
    found = [
        (value[1 + size + n] - value[1 + a] - value[1 + b] + value[0], swarm.domains[a], swarm.domains[b])
        for n, (a, b) in enumerate(pairs)
    ]
    found.sort(key=lambda one: -abs(one[0]))
    view.given("interactions", "interactions", [{"domain": a, "with": b, "beyond": gain} for gain, a, b in found])
    listed = [(a, b, f"{gain:+.5f}") for gain, a, b in found[:12]]
    note = "Bits per byte on the target that raising both adds to what raising each does; below 0 they help each other."
    return (
        "<h3>Interactions</h3>"
        + paragraph(note, "lead")
        + table(("domain", "with", "beyond each alone"), listed, words=2)
    )


def _recipes(view: View) -> str:
    """Recipes of this workspace and of those beside it, share by share."""
    held = []
    for workspace in (view.source.workspace, *view.source.beside):
        path = workspace.path("mixture", "recipe.yaml")
        try:
            held.append((workspace.url.rstrip("/").rpartition("/")[2], load_recipe(path)))
        except (RequestError, OSError):
            continue
    if not held:
        return ""
    names = sorted({name for _, recipe in held for phase in recipe.phases for name in phase.shares})
    header = ["domain"]
    for label, recipe in held:
        header += [f"{label}, until {phase.until:g}" for phase in recipe.phases]
    view.given(
        "recipes",
        "recipes",
        [
            {"recipe": label, "until": phase.until, "domain": name, "share": phase.shares.get(name, 0.0)}
            for label, recipe in held
            for phase in recipe.phases
            for name in names
        ],
    )
    rows = [
        [name, *(percent(phase.shares.get(name, 0.0)) for _, recipe in held for phase in recipe.phases)]
        for name in names
    ]
    return "<h2>Recipes</h2>" + table(header, rows)
