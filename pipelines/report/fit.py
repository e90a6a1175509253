"""The page of a fit on tables: predicted against measured, responses, interactions and the decision card, as one file.

Drawn from the report of `mixing.standalone.fit_tables` alone. Refuses nothing: what was not measured is not drawn.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from ...mixing.card import card_lines
from .charts import lines, scatter
from .text import escape

SHOWN = 6  # domains in one chart of responses, those with the largest range
PAIRS = 8  # interactions listed


def fit_page(told: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    details = told["details"]
    style = resources.files(__name__.rpartition(".")[0]).joinpath("page.html").read_text("utf-8")
    style = style[style.index("<style>") : style.index("</style>") + len("</style>")].replace("$$", "$")
    parts = ["<h1>Fit of the mixture</h1>", _proposal(told)]
    parts += ["<h2>Decision card</h2>", _list(card_lines("fitted", told["card"]))]
    for target in details["measured"]:
        points = [(a, b, f"predicted {a:.4f}, measured {b:.4f}") for a, b in details["measured"][target]]
        parts.append(f"<h2>{escape(target)}</h2>")
        parts.append(
            scatter(points, _three, ("predicted, out of fold", "measured"), f"{target}: predicted against measured")
        )
        curves = sorted(details["responses"][target].items(), key=lambda item: -_range(item[1]))[:SHOWN]
        series = [(name, [(share, value) for share, value in curve]) for name, curve in curves]
        parts.append(
            lines(series, (_two, _three), ("share of the domain", "predicted"), f"{target} along each domain's share")
        )
        parts.append(_list([name for name, _ in series]))
        rows = details["interactions"][target][:PAIRS]
        parts.append("<h3>Interactions</h3>")
        parts.append(_list([f"{' with '.join(row['domains'])}: {row['value']:+.4f}" for row in rows]))
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Fit of the mixture</title>'
    body = f'<body><main style="max-width:52rem;margin:2rem auto">{"".join(parts)}</main></body>'
    return f"{head}{style}</head>{body}</html>\n"


def _proposal(told: Mapping[str, Any]) -> str:
    proposal = told["proposal"]
    shares = sorted(proposal["shares"].items(), key=lambda item: -item[1])
    rows = [f"{name}: {share:.4f}" for name, share in shares if share > 0]
    head = f"Predicted {proposal['predicted']:.4f} [{proposal['low']:.4f}, {proposal['high']:.4f}], {proposal['how']}"
    return f"<p>{escape(head)}</p>{_list(rows)}"


def _list(rows: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(row)}</li>' for row in rows)}</ul>"


def _range(curve: list[list[float]]) -> float:
    values = [value for _, value in curve]
    return max(values) - min(values)


def _two(value: float) -> str:
    return f"{value:.2f}"


def _three(value: float) -> str:
    return f"{value:.3f}"
