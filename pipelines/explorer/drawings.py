"""The explorer's own drawings as SVG, beside the report's charts: bars that are links, histograms with a line that
moves, density of two signals, clouds of points, and parallel coordinates.

Like those they take their colours by class from the style sheet, and carry a sentence for those who cannot see them.
Refuses nothing: an empty drawing is the caller's case to word.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..report.charts import (
    CHARACTER,
    SERIES,
    WIDTH,
    Number,
    Scale,
    around,
    dash,
    gutter,
    line,
    row_label,
    svg,
    text,
    ticks,
)
from ..report.text import escape, number, short

SHADES = 6  # of a density


@dataclass(frozen=True)
class LinkedBar:
    """One bar: its label, the values of its parts with the address that each opens, and a note at its end."""

    label: str
    parts: Sequence[tuple[float, str]]
    note: str = ""


def linked_bars(bars: Sequence[LinkedBar], names: Sequence[str], number: Number, describe: str) -> str:
    """Horizontal stacked bars, each part a link. The addresses are escaped already."""
    left = gutter(bar.label for bar in bars)
    right = 20 + CHARACTER * max((len(bar.note) for bar in bars), default=0)
    scale = Scale(0, max((sum(value for value, _ in bar.parts) for bar in bars), default=0) or 1.0, left, WIDTH - right)
    body = []
    for place, bar in enumerate(bars):
        top = 4 + place * 26
        body.append(row_label(left - 10, top + 14, bar.label))
        x = left
        for index, (value, address) in enumerate(bar.parts):
            width = scale(value) - left
            if value > 0:
                tip = f"{bar.label}: {names[index]} {number(value)}"
                drawn = (
                    f'<rect x="{x:.1f}" y="{top}" width="{max(width, 1.5):.1f}" height="19" class="f{index % SERIES}">'
                    f"<title>{escape(tip)}</title></rect>"
                )
                body.append(f'<a href="{address}" aria-label="{escape(tip)}">{drawn}</a>' if address else drawn)
            x += width
        body.append(text(x + 8, top + 14, bar.note, "note"))
    return svg(10 + 26 * len(bars), describe, body)


def histogram(
    bins: Sequence[tuple[float, float, Sequence[float]]],
    names: Sequence[str],
    lines: Sequence[tuple[float, str]],
    title: str,
    describe: str,
) -> str:
    """Stacked columns of bins (low, high, value of each named series), and vertical lines (place, words)."""
    height, left, top = 262, 62, 38
    base = height - 48
    low, high = bins[0][0], bins[-1][1]
    across = Scale(low, high, left, WIDTH - 20)
    up = Scale(0, max(sum(values) for _, _, values in bins) or 1.0, base, top)
    body = []
    for at in ticks(0, up.high, 5):
        body += [line(left, up(at), WIDTH - 20, up(at), "grid"), text(left - 8, up(at) + 4, short(at), "tick", "end")]
    for begin, end, values in bins:
        y = base
        for index, value in enumerate(values):
            tall = base - up(value)
            if value > 0:
                tip = f"{number(begin)} to {number(end)}: {names[index]} {value:,.0f}"
                body.append(
                    f'<rect x="{across(begin):.1f}" y="{y - max(tall, 0.8):.1f}" '
                    f'width="{max(across(end) - across(begin) - 0.8, 0.6):.1f}" height="{max(tall, 0.8):.1f}" '
                    f'class="f{index % SERIES}"><title>{escape(tip)}</title></rect>'
                )
            y -= tall
    body.append(line(left, base, WIDTH - 20, base, "axis"))
    body += [text(across(at), base + 16, number(at), "tick", "middle") for at in ticks(low, high, 8)]
    for index, (at, words) in enumerate(lines):
        if low <= at <= high:
            x = across(at)
            kind = "limit" if index == 0 else "limit moved"
            body.append(f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{base}" class="{kind}"/>')
            anchor = "end" if x > WIDTH - 160 else "start"
            body.append(text(x + (-5 if anchor == "end" else 5), top - 24 + 14 * (index % 2), words, "note", anchor))
    body.append(text((left + WIDTH - 20) / 2, height - 8, title, "title", "middle"))
    return svg(height, describe, body)


def _shaded(
    cells: Sequence[tuple[int, int, float]], corner: tuple[float, float], size: tuple[float, float]
) -> list[str]:
    """Cells (column, row, documents) of a grid above a corner; darker is more, by powers of two."""
    most = max(1.0, math.log2(max((value for _, _, value in cells), default=1.0)))
    body = []
    for column, row, value in cells:
        shade = 1 + int((SHADES - 0.01) * math.log2(value) / most)
        body.append(
            f'<rect x="{corner[0] + column * size[0]:.1f}" y="{corner[1] - (row + 1) * size[1]:.1f}" '
            f'width="{size[0]:.2f}" height="{size[1]:.2f}" class="shade{shade}">'
            f"<title>{value:,.0f} documents</title></rect>"
        )
    return body


def density(
    cells: Sequence[tuple[int, int, float]],
    size: tuple[int, int],
    bounds: tuple[float, float, float, float],
    titles: tuple[str, str],
    describe: str,
) -> str:
    """Cells (column, row, documents) of a grid over (x low, x high, y low, y high); darker is more."""
    height, left, top = 430, 72, 12
    across, up = Scale(bounds[0], bounds[1], left, WIDTH - 20), Scale(bounds[2], bounds[3], height - 50, top)
    wide, tall = (WIDTH - 20 - left) / size[0], (height - 50 - top) / size[1]
    body = _shaded(cells, (left, height - 50), (wide, tall))
    body += [text(across(at), height - 33, number(at), "tick", "middle") for at in ticks(across.low, across.high, 8)]
    body += [text(left - 8, up(at) + 4, number(at), "tick", "end") for at in ticks(up.low, up.high, 6)]
    body += [line(left, height - 50, WIDTH - 20, height - 50, "axis"), line(left, top, left, height - 50, "axis")]
    body.append(text((left + WIDTH - 20) / 2, height - 10, titles[0], "title", "middle"))
    body.append(f'<g transform="rotate(-90)">{text(-(top + height - 50) / 2, 14, titles[1], "title", "middle")}</g>')
    return svg(height, describe, body)


def cloud(
    points: Sequence[tuple[float, float, int, str, str]],
    titles: tuple[str, str],
    describe: str,
    outline: str,
    bounds: tuple[float, float, float, float],
    cells: Sequence[tuple[int, int, float]] = (),
    grid: tuple[int, int] = (1, 1),
) -> tuple[str, tuple[float, float, float, float]]:
    """Points (x, y, colour, tip, address) within bounds (x low, x high, y low, y high), above shaded cells (column,
    row, documents) of a grid over those bounds; and the bounds of the plot in the units of the axes."""
    height, left, top = 520, 20, 8
    (x0, x1), (y0, y1) = around(bounds[:2]), around(bounds[2:])
    across, up = Scale(x0, x1, left, WIDTH - 20), Scale(y0, y1, height - 34, top)
    body = [f'<rect x="{left}" y="{top}" width="{WIDTH - 20 - left}" height="{height - 34 - top}" class="plot"/>']
    size = (across(bounds[1]) - across(bounds[0])) / grid[0], (up(bounds[2]) - up(bounds[3])) / grid[1]
    body += _shaded(cells, (across(bounds[0]), up(bounds[2])), size)
    for x, y, colour, tip, address in points:
        drawn = (
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" class="f{colour % SERIES} point">'
            f"<title>{escape(tip)}</title></circle>"
        )
        body.append(f'<a href="{address}">{drawn}</a>' if address else drawn)
    if outline:
        pairs = [tuple(map(float, pair.split(","))) for pair in outline.split()]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in pairs)
        body.append(f'<polygon points="{path}" class="lasso"/>')
    body.append(text((left + WIDTH - 20) / 2, height - 12, f"{titles[0]} →, {titles[1]} ↑", "title", "middle"))
    return svg(height, describe, body), (x0, x1, y0, y1)


def parallel(
    names: Sequence[str],
    runs: Sequence[tuple[Sequence[float], float, str]],
    number: Callable[[float], str],
    describe: str,
    marked: Sequence[tuple[str, Sequence[float]]] = (),
) -> str:
    """Parallel coordinates: an axis for each name, a line for each run (values, 0 worst to 1 best, tip); `marked` runs
    (name, values) are drawn above in the colours of a legend."""
    height, left, top = 330, 60, 16
    base = height - 66
    step = (WIDTH - 2 * left) / max(1, len(names) - 1)
    values = [value for run, _, _ in runs for value in run] + [value for _, run in marked for value in run]
    up = Scale(0, max(values, default=1.0) or 1.0, base, top)
    body = []
    for place, name in enumerate(names):
        x = left + place * step
        body.append(line(x, top, x, base, "grid"))
        body.append(
            f'<g transform="translate({x:.1f} {base + 14}) rotate(18)">{text(0, 0, name[:20], "label", "start")}</g>'
        )
    body += [text(left - 8, up(at) + 4, number(at), "tick", "end") for at in ticks(0, up.high, 5)]

    def path(run: Sequence[float]) -> str:
        return "".join(f"{'L' if n else 'M'}{left + n * step:.1f} {up(value):.1f}" for n, value in enumerate(run))

    for run, good, tip in sorted(runs, key=lambda one: one[1]):
        kind = f"run good{min(4, int(good * 5))}"
        body.append(f'<path d="{path(run)}" class="{kind}"><title>{escape(tip)}</title></path>')
    for index, (name, run) in enumerate(marked):
        drawn = (
            f'<path d="{path(run)}" class="curve k{index % SERIES}"{dash(index)}><title>{escape(name)}</title></path>'
        )
        body.append(drawn)
    return svg(height, describe, body)


def intervals(
    rows: Sequence[tuple[str, float, float, float, float | None]], number: Number, x_title: str, describe: str
) -> str:
    """A row for each (label, middle, low, high, measured): the interval as a line, what was measured as a ring."""
    left = gutter(row[0] for row in rows)
    values = [value for row in rows for value in row[1:] if value is not None]
    low, high = around(values)
    scale = Scale(low, high, left, WIDTH - 24)
    bottom = 8 + 26 * len(rows)
    body = [line(scale(at), 8, scale(at), bottom, "grid") for at in ticks(low, high)]
    for place, (label, middle, begin, end, measured) in enumerate(rows):
        y = 8 + 26 * place + 13
        body += [row_label(left - 10, y + 4, label), line(scale(begin), y, scale(end), y, "spread k0")]
        tip = f"{label}: {number(middle)}, from {number(begin)} to {number(end)}"
        body.append(
            f'<circle cx="{scale(middle):.1f}" cy="{y}" r="4.5" class="f0"><title>{escape(tip)}</title></circle>'
        )
        if measured is not None:
            said = escape(f"{label}: measured {number(measured)}")
            body.append(
                f'<circle cx="{scale(measured):.1f}" cy="{y}" r="6" class="ring k1"><title>{said}</title></circle>'
            )
    body += [text(scale(at), bottom + 16, number(at), "tick", "middle") for at in ticks(low, high)]
    body.append(text((left + WIDTH - 24) / 2, bottom + 36, x_title, "title", "middle"))
    return svg(bottom + 46, describe, body)
