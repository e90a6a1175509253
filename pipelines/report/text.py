"""Text into HTML that cannot act, and numbers into words: the report's only way from a value to the page.

Whatever comes from a workspace is hostile until it has gone through `escape`. Markup loses its meaning, control
characters and those that turn the direction of text become visible, and cutting happens before escaping, never after.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# C0 and C1 controls except tab and newline, direction marks and overrides, surrogates, and what is not a character
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def escape(value: object) -> str:
    """A value as text for an element or a quoted attribute."""
    return html.escape(UNSEEN.sub("\ufffd", str(value)), quote=True)


def excerpt(content: str, most: int = 700) -> str:
    """The beginning of a text, escaped, with the number of characters that are not shown."""
    shown = escape(content[:most])
    left = len(content) - most
    return shown + (f'<span class="more"> … {count(left)} more characters</span>' if left > 0 else "")


def count(value: float) -> str:
    """12345 → 12,345."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """12345 → 12.3k, for axes."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Bytes in decimal units: 12345678 → 12.3 MB."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return f"{value:.0f} B"


def percent(part: float, whole: float = 1.0) -> str:
    """A share in per cent; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def number(value: float | None) -> str:
    """A measured value in four significant digits, a dash where it is absent."""
    return "–" if value is None else f"{value:.4g}"


def bits(value: float) -> str:
    """Bits per byte, three decimals."""
    return f"{value:.3f}"


@dataclass(frozen=True)
class Html:
    """A piece of a page that is already escaped. Anything else put into a table is escaped there."""

    source: str


def bar(share: float) -> Html:
    """A share in per cent with a bar behind it, for a cell of a table."""
    width = max(0.0, min(100.0, 100 * share))
    return Html(f'<span class="bar"><i style="width:{width:.1f}%"></i></span><span class="of">{percent(share)}</span>')


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    words: int = 1,
    most: int = 60,
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table whose first `words` columns are words, the others numbers. Rows beyond `most` are counted, not shown.

    `groups` are headings above the header, each with the number of columns that it spans.
    """
    rows = list(rows)
    kinds = ["" if place < words else ' class="n"' for place in range(len(header))]
    above = "".join(f'<th scope="colgroup" colspan="{span}" class="g">{escape(name)}</th>' for name, span in groups)
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, header, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, kinds, row))}</tr>" for row in rows[:most])
    left = len(rows) - most
    foot = f'<tfoot><tr><td colspan="{len(header)}">and {count(left)} more</td></tr></tfoot>' if left > 0 else ""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    headings = f"<tr>{above}</tr>" * bool(groups) + f"<tr>{head}</tr>"
    return f'<div class="wide"><table>{title}<thead>{headings}</thead><tbody>{body}</tbody>{foot}</table></div>'


def _cell(kind: str, value: object) -> str:
    return f"<td{kind}>{value.source if isinstance(value, Html) else escape(value)}</td>"


def paragraph(content: str, kind: str = "") -> str:
    """One paragraph of plain text."""
    return f'<p class="{kind}">{escape(content)}</p>' if kind else f"<p>{escape(content)}</p>"


def figure(chart: str, caption: str, above: str = "") -> str:
    """A chart with its legend above and its caption below."""
    return f"<figure>{above}{chart}<figcaption>{escape(caption)}</figcaption></figure>"
