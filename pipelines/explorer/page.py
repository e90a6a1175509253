"""The frame of a page: the tabs, what is stale, the body, and the queries that it ran with their exports.

Everything that comes from a workspace goes through `report.text.escape`. Pages carry no script and no style of their
own: both are files of the package, so that the policy of the server can forbid all others.
"""

import re
from collections.abc import Sequence
from importlib import resources

from ..report.text import Html, escape, percent
from .view import View

TABS = {  # path -> title, in the order of the keys 1, 2, …
    "funnel": "Funnel",
    "signals": "Signals",
    "documents": "Documents",
    "duplicates": "Duplicates",
    "mixture": "Mixture",
    "runs": "Runs",
    "map": "Map",
    "sql": "SQL",
}


def style_sheet() -> str:
    """The report's style sheet with the explorer's own below it."""
    package = __name__.rpartition(".")[0]
    page = resources.files(package.rpartition(".")[0] + ".report").joinpath("page.html").read_text("utf-8")
    shared = page[page.index("<style>") + len("<style>") : page.index("</style>")].replace("$$", "$")
    return shared + resources.files(package).joinpath("explorer.css").read_text("utf-8")


def script() -> str:
    return resources.files(__name__.rpartition(".")[0]).joinpath("explorer.js").read_text("utf-8")


def page(view: View, title: str, body: str, base: str, head: str = "") -> str:
    """The whole page. `base` is the address of the root of the pages; `head` goes into <head> as it is."""
    tab = view.path.split("/")[0]
    tab = {"document": "documents", "pair": "duplicates", "cluster": "duplicates"}.get(tab, tab)
    links = "".join(
        f'<li><a href="{path}" data-key="{number}"{" aria-current=page" if path == tab else ""}>{escape(name)}</a></li>'
        for number, (path, name) in enumerate(TABS.items(), 1)
    )
    linked = (
        '<link rel="icon" href="data:,"><link rel="stylesheet" '
        'href="explorer.css"><script '
        'src="explorer.js" defer></script>'
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" '
        'content="same-origin">'
        f"<title>{escape(title)} · {escape(view.source.name)} · gristmill</title>"
        f'<base href="{escape(base)}">{head or linked}</head><body class="explorer">'
        f'<a href="{view.link()}#main" class="skip">Skip to the content</a>'
        f"<header><p class=place>{escape(view.source.name)}</p><nav aria-label=Tabs><ol>{links}</ol></nav></header>"
        f'<main id="main" tabindex="-1"><h1>{escape(title)}</h1>{stale(view)}{body}{queries(view)}</main>'
        f"<footer>{WRITTEN if view.static else FOOTER}</footer></body></html>\n"
    )


WRITTEN = "Written by gristmill explore --static: a sample of the workspace's documents, without the workspace."
FOOTER = (
    "Keys: <kbd>1</kbd> to <kbd>8</kbd> tabs, <kbd>j</kbd> and <kbd>k</kbd> next and previous row, "
    "<kbd>Enter</kbd> open, "
    "<kbd>/</kbd> search. What is shown is the workspace as it is; a later run is shown when a page is asked for again."
)


def stale(view: View) -> str:
    """What was made from something that is gone, and the command that mends it."""
    told = dict.fromkeys(view.source.stale.values())
    if not told:
        return ""
    listed = "".join(f"<li>{escape(why)}</li>" for why in told)
    return f'<div class="warn" role="note"><p>Left out, because it is stale:</p><ul>{listed}</ul></div>'


def queries(view: View) -> str:
    """The queries of the page, each with its exports and a way into the SQL tab."""
    if not view.queries:
        return ""
    parts = []
    for name, sql in view.queries:
        links = ""
        if not view.static:
            links = (
                f'<a href="{view.link("sql", sql=sql)}">in the SQL tab</a> '
                f'<a href="{view.link(None, export=name, format="csv")}" download>CSV</a> '
                f'<a href="{view.link(None, export=name, format="parquet")}" download>Parquet</a>'
            )
        parts.append(f"<li><b>{escape(name)}</b> {links}<pre>{escape(sql)}</pre></li>")
    return (
        "<details class=queries><summary>SQL of this page, and its rows "
        "as "
        f"files</summary><ol>{''.join(parts)}</ol></details>"
    )


def share(part: float, whole: float) -> Html:
    """A share in per cent with a bar behind it, without a style of its own."""
    width = max(0.0, min(100.0, 100 * part / whole)) if whole else 0.0
    return Html(
        f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="10" class="f0"/></svg><span class="of">{percent(part, whole)}</span>'
    )


def link(address: str, words: object, kind: str = "") -> Html:
    """A link as a cell of a table; the address is escaped already."""
    marked = f' class="{kind}"' if kind else ""
    return Html(f'<a href="{address}"{marked}>{escape(words)}</a>')


def choose(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    """A labelled <select> of (value, words)."""
    inside = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(words)}</option>'
        for value, words in options
    )
    return f'<label>{escape(label)} <select name="{escape(name)}">{inside}</select></label>'


def hidden(params: dict[str, Sequence[str]], without: Sequence[str]) -> str:
    """The parameters of an address as hidden fields of a form, but those that the form sets."""
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, values in params.items()
        if name not in (*without, "export", "format", "part", "page")
        for value in values
    )


def without_style(html: str) -> str:
    """HTML of the report with the one style attribute that it uses drawn otherwise."""
    return re.sub(
        r'<span class="bar"><i style="width:([0-9.]+)%"></i></span>',
        lambda m: (
            f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect width="{m[1]}" height="10" class="f0"/></svg>'
        ),
        html,
    )
