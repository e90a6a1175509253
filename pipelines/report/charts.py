"""Charts as inline SVG: stacked bars, columns, dots, a scatter and lines, drawn from numbers and nothing else.

Colours come from the page's style sheet by class (`f0` fills, `k0` strokes), so one drawing serves a light and a dark
page; series differ by mark or dash as well as by colour. Every chart carries a sentence for those who cannot see it.
Refuses nothing: an empty chart is the caller's case to word.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .text import escape

WIDTH = 760
SERIES = 8  # distinct colours; more series repeat them
LABEL = 26  # characters of a row's label that are shown; the whole label is its tooltip
CHARACTER = 6.7  # mean width of one at the charts' font size
DASHES = ("", "6 3", "2 3", "8 3 2 3")

Number = Callable[[float], str]


@dataclass(frozen=True)
class Scale:
    """Linear map of [low, high] to [start, end] pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Round numbers within [low, high], about `about` of them, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / raw)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def around(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """The range of the values with a margin on both sides."""
    values = list(values)
    low, high = min(values), max(values)
    pad = (high - low) * margin or abs(high) * margin or 1.0
    return low - pad, high + pad


def svg(height: float, describe: str, body: Iterable[str], width: float = WIDTH) -> str:
    """The frame of a chart; `describe` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(describe)}">'
        f"<title>{escape(describe)}</title>{''.join(body)}</svg>"
    )


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """One line of text in a chart; `kind` is a class of the style sheet."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def row_label(x: float, y: float, label: str) -> str:
    """A row's label, cut where it is long, right-aligned at x."""
    shown = label if len(label) <= LABEL else label[: LABEL - 1] + "…"
    return f"<g><title>{escape(label)}</title>{text(x, y, shown, 'label', 'end')}</g>"


def gutter(labels: Iterable[str]) -> float:
    """Pixels left of the plot that the longest label needs."""
    return 16 + CHARACTER * max((min(len(label), LABEL) for label in labels), default=0)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def legend(names: Sequence[str], shape: str = "mark") -> str:
    """Names beside their marks (`mark`), dashes (`dash`) or plain swatches (`swatch`), as HTML above a chart."""
    items = []
    for index, name in enumerate(names):
        if shape == "dash":
            drawn = f'<path d="M0 7H22" class="curve k{index % SERIES}"{dash(index)}/>'
        elif shape == "mark":
            drawn = mark(index, 11, 7, name)
        else:
            drawn = f'<rect x="4" y="1" width="14" height="12" rx="2" class="f{index % SERIES}"/>'
        items.append(f'<li><svg viewBox="0 0 22 14" aria-hidden="true">{drawn}</svg>{escape(name)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def dash(index: int) -> str:
    """The dash pattern of a series, as an attribute; the first has none."""
    pattern = DASHES[index % len(DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def mark(index: int, x: float, y: float, tip: str, small: bool = False) -> str:
    """Circle, square, diamond or triangle by series; `tip` shows on hovering."""
    r = 3.2 if small else 5.0
    side = r * 1.8
    kind = f"f{index % SERIES}{' faint' if small else ''}"
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" class="{kind}">',
        f'<rect x="{x - r * 0.9:.1f}" y="{y - r * 0.9:.1f}" width="{side:.1f}" height="{side:.1f}" class="{kind}">',
        f'<path d="M{x:.1f} {y - r * 1.25:.1f}l{r * 1.25:.1f} {r * 1.25:.1f}l{-r * 1.25:.1f} {r * 1.25:.1f}'
        f'l{-r * 1.25:.1f} {-r * 1.25:.1f}z" class="{kind}">',
        f'<path d="M{x:.1f} {y - r * 1.2:.1f}l{r * 1.15:.1f} {r * 2:.1f}h{-r * 2.3:.1f}z" class="{kind}">',
    )
    shape = shapes[index % len(shapes)]
    return f"{shape}<title>{escape(tip)}</title></{shape[1 : shape.index(' ')]}>"


def bars(rows: Sequence[tuple[str, Sequence[float], str]], names: Sequence[str], number: Number, describe: str) -> str:
    """Horizontal stacked bars. A row is (label, value of each named series, note at the bar's end)."""
    left, right = gutter(label for label, _, _ in rows), 20 + CHARACTER * max(len(note) for _, _, note in rows)
    scale = Scale(0, max(sum(values) for _, values, _ in rows) or 1.0, left, WIDTH - right)
    body = []
    for place, (label, values, note) in enumerate(rows):
        top = 6 + place * 30
        body.append(row_label(left - 10, top + 15, label))
        x = left
        for index, value in enumerate(values):
            width = scale(value) - left
            if width > 0:
                tip = f"{label}: {names[index]} {number(value)}"
                body.append(
                    f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="21" class="f{index % SERIES}">'
                    f"<title>{escape(tip)}</title></rect>"
                )
            x += width
        body.append(text(x + 8, top + 15, note, "note"))
    return svg(12 + 30 * len(rows), describe, body)


def columns(values: Sequence[tuple[str, float]], number: Number, x_title: str, describe: str) -> str:
    """A histogram: one column for each (label, value), the value above it."""
    height, base = 220, 176.0
    step = min(90.0, (WIDTH - 40) / len(values))
    scale = Scale(0, max(value for _, value in values) or 1.0, 0, base - 24)
    body = [line(20, base, 20 + step * len(values), base, "axis")]
    for place, (label, value) in enumerate(values):
        x, tall = 20 + step * place, max(scale(value), 1.0 if value else 0.0)
        body.append(
            f'<rect x="{x + step * 0.12:.1f}" y="{base - tall:.1f}" width="{step * 0.76:.1f}" height="{tall:.1f}" '
            f'class="f0"><title>{escape(f"{label}: {number(value)}")}</title></rect>'
        )
        body.append(text(x + step / 2, base - tall - 6, number(value), "note", "middle"))
        body.append(text(x + step / 2, base + 17, label, "label", "middle"))
    body.append(text(20 + step * len(values) / 2, height - 8, x_title, "title", "middle"))
    return svg(height, describe, body)


def dots(
    rows: Sequence[tuple[str, Mapping[str, Sequence[float]]]],
    names: Sequence[str],
    number: Number,
    x_title: str,
    describe: str,
    zero: bool = False,
) -> str:
    """A row of marks for each label. A series of several values shows them small, and their mean large.

    `zero` has 0 in the chart, with a line of its own.
    """
    left = gutter(label for label, _ in rows)
    values = [value for _, series in rows for measured in series.values() for value in measured]
    low, high = around([*values, 0.0] if zero else values)
    scale = Scale(max(low, 0.0) if zero and min(values) >= 0 else low, high, left, WIDTH - 24)
    step, top = max(30, 9 * len(names) + 8), 8
    bottom = top + step * len(rows)
    body = [line(scale(at), top, scale(at), bottom, "grid") for at in ticks(scale.low, scale.high)]
    if zero:
        body.append(line(scale(0), top, scale(0), bottom, "axis"))
    for place, (label, series) in enumerate(rows):
        middle = top + step * (place + 0.5)
        if place % 2 == 0:
            body.insert(0, f'<rect x="0" y="{middle - step / 2}" width="{WIDTH}" height="{step}" class="band"/>')
        body.append(row_label(left - 10, middle + 4, label))
        shown = [(index, name) for index, name in enumerate(names) if series.get(name)]
        for nth, (index, name) in enumerate(shown):
            measured = series[name]
            y = middle + (nth - (len(shown) - 1) / 2) * 9
            mean = sum(measured) / len(measured)
            if len(measured) > 1:
                body.append(line(scale(min(measured)), y, scale(max(measured)), y, f"spread k{index % SERIES}"))
                body += [mark(index, scale(value), y, f"{label}, {name}: {number(value)}", True) for value in measured]
            tip = f"{label}, {name}: {number(mean)}{f' (mean of {len(measured)})' if len(measured) > 1 else ''}"
            body.append(mark(index, scale(mean), y, tip))
    body += [text(scale(at), bottom + 16, number(at), "tick", "middle") for at in ticks(scale.low, scale.high)]
    body.append(text((left + WIDTH - 24) / 2, bottom + 36, x_title, "title", "middle"))
    return svg(bottom + 46, describe, body)


def scatter(points: Sequence[tuple[float, float, str]], number: Number, titles: tuple[str, str], describe: str) -> str:
    """(x, y, tip) on equal axes with the line y = x, as a small square chart."""
    size, left, top, right = 250, 60, 10, 230
    low, high = around([value for point in points for value in point[:2]])
    across, up = Scale(low, high, left, right), Scale(low, high, size - 46, top)
    body = [line(across(low), up(low), across(high), up(high), "diagonal")]
    for at in ticks(low, high, 3):
        body += [line(across(at), top, across(at), size - 46, "grid"), line(left, up(at), right, up(at), "grid")]
        body += [
            text(across(at), size - 31, number(at), "tick", "middle"),
            text(left - 6, up(at) + 4, number(at), "tick", "end"),
        ]
    body += [
        f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.6" class="f0 point"><title>{escape(tip)}</title></circle>'
        for x, y, tip in points
    ]
    body.append(text((left + right) / 2, size - 10, titles[0], "title", "middle"))
    body.append(f'<g transform="rotate(-90)">{text(-(top + size - 46) / 2, 12, titles[1], "title", "middle")}</g>')
    return svg(size, describe, body, width=size)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    numbers: tuple[Number, Number],
    titles: tuple[str, str],
    describe: str,
    points: bool = False,
) -> str:
    """Curves over one pair of axes; a series is (name, points in order of x)."""
    height, left, top = 280, 62, 12
    xs = [x for _, curve in series for x, _ in curve]
    low, high = around([y for _, curve in series for _, y in curve])
    across, up = Scale(min(xs), max(xs), left, WIDTH - 20), Scale(low, high, height - 50, top)
    body = []
    for at in ticks(low, high):
        body += [line(left, up(at), WIDTH - 20, up(at), "grid")]
        body += [text(left - 8, up(at) + 4, numbers[1](at), "tick", "end")]
    for at in ticks(across.low, across.high, 6):
        body.append(text(across(at), height - 33, numbers[0](at), "tick", "middle"))
    body.append(line(left, height - 50, WIDTH - 20, height - 50, "axis"))
    for index, (name, curve) in enumerate(series):
        path = "".join(f"{'L' if n else 'M'}{across(x):.1f} {up(y):.1f}" for n, (x, y) in enumerate(curve))
        drawn = f'<path d="{path}" class="curve k{index % SERIES}"{dash(index)}><title>{escape(name)}</title></path>'
        body.append(drawn)
        if points or len(curve) == 1:
            body += [
                mark(index, across(x), up(y), f"{name}: {numbers[1](y)} at {numbers[0](x)}", True) for x, y in curve
            ]
    body.append(text((left + WIDTH - 20) / 2, height - 10, titles[0], "title", "middle"))
    body.append(f'<g transform="rotate(-90)">{text(-(top + height - 50) / 2, 13, titles[1], "title", "middle")}</g>')
    return svg(height, describe, body)


def thinned(curve: Sequence[tuple[float, float]], most: int = 300) -> list[tuple[float, float]]:
    """At most about `most` points of a curve: means of equal runs of neighbours, both ends as they are."""
    if len(curve) <= most:
        return list(curve)
    edges = [round(1 + part * (len(curve) - 2) / (most - 2)) for part in range(most - 1)]
    middle = [curve[a:b] for a, b in pairwise(edges) if b > a]
    means = [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in middle]
    return [curve[0], *means, curve[-1]]
