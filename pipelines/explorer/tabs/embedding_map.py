"""Map: documents by their vectors, on the two directions in which those differ most, with a lasso to a list and a rule.

Vectors are those of `semantic`, or of any table that holds one a document. Shades count all documents, points are a
sample by the beginning of the id; what a lasso lists, counts and puts into a rule is every document inside of it.
"""

from dataclasses import dataclass
from typing import Any

from ...report.charts import legend
from ...report.text import count, escape, paragraph, percent
from ..drawings import cloud
from ..lasso import MOST_IDS, inside, outline_of, places, vector_columns
from ..made.places import GRID
from ..made.sampling import sample_below
from ..made.summaries import SAMPLE
from ..page import choose
from ..view import View
from .documents import document_row

COLOURS = 7
SHOWN = 25  # documents that are listed beside the map


@dataclass(frozen=True)
class Spread:
    """How the documents with a vector lie: shares of variance, bounds, how many, and how many have no place."""

    share_x: float
    share_y: float
    x0: float
    x1: float
    y0: float
    y1: float
    documents: int
    without: int


def embedding_map(view: View) -> str:
    """The tab."""
    known = vector_columns(view)
    if "embeddings" in view.source.stale:
        return paragraph(view.source.stale["embeddings"], "warn")
    if not known:
        return paragraph(f"Not run: gristmill semantic --workspace {view.source.name} --model MODEL", "absent")
    chosen = view.choice("vectors", list(known)) or next(iter(known))
    outline = outline_of(view)
    held = places(view, known[chosen])
    (row,) = view.source.rows(f"select * from {held}.spread")[1]
    spread = Spread(*row)
    columns = [name for name in view.source.columns if name.strip('"') not in ("id", "begins", "url", "title")]
    colour = view.choice("colour", columns, '"domain"')
    body = _form(view, chosen, list(known), colour, columns)
    body += _drawing(view, chosen, held, spread, colour, outline)
    return body + (_inside(view, chosen, held, outline) if outline else _without_pointer(view, chosen))


def _drawing(view: View, chosen: str, held: str, spread: Spread, colour: str, outline: str) -> str:
    label = view.source.columns[colour]
    rows = view.rows(
        "documents drawn as points",
        f"select p.id, x, y, coalesce({colour}::varchar, 'none') as colour, coalesce(title, begins, '') as words "
        f"from {held}.drawn p join {_that_holds(view, f'{held}.drawn')} f on f.number = p.number order by p.id",
    )
    told: dict[str, int] = {}
    for row in rows:
        told[row[3]] = told.get(row[3], 0) + 1
    names = sorted(told, key=lambda one: (-told[one], one))
    shown = (
        [name[:60] for name in names] if len(names) <= COLOURS + 1 else [*(n[:60] for n in names[:COLOURS]), "others"]
    )
    order = {name: min(place, len(shown) - 1) for place, name in enumerate(names)}
    points = [
        (x, y, order[name], f"{' '.join(words.split())[:100] or one} ({name[:60]})", view.link(f"document/{one}"))
        for one, x, y, name, words in rows
    ]
    bounds = (spread.x0, spread.x1 or 0.0, spread.y0, spread.y1 or 0.0)
    cells = _density(view, held) if spread.documents > len(rows) else []
    said = f"{count(spread.documents)} documents by {chosen}"
    if cells:
        said += f", as shades by powers of two; {count(len(rows))} of them as points"
    said += f", coloured by {label}."
    titles = (f"direction 1, {percent(spread.share_x)}", f"direction 2, {percent(spread.share_y)}")
    drawn, edges = cloud(points, titles, said, outline, bounds, cells, GRID)
    caption = (
        f"{said} The two directions hold {percent(spread.share_x + spread.share_y)} of all differences. Draw around "
        "documents to list them."
    )
    if spread.without:
        caption += f" {count(spread.without)} have no vector of finite numbers, or one of another length, and no place."
    figure = view.figure("map drawn", drawn, caption, legend(shown, "swatch"))
    words = " ".join(f"{value!r}" for value in edges)
    return f'<div id="map" data-bounds="{escape(words)}" data-here="{view.link(None, lasso=None)}">{figure}</div>'


def _that_holds(view: View, drawn: str) -> str:
    """The smaller one of the tables that hold these documents: `sampled`, where its sample goes as far as theirs."""
    ((documents, last),) = view.source.rows(f"select documents, (select max(id) from {drawn}) from about")[1]
    return "sampled" if last is not None and last < sample_below(documents, SAMPLE) else "facts"


def _density(view: View, held: str) -> list[tuple[int, int, float]]:
    rows = view.rows("all documents by their place", f"select across, up, documents from {held}.shades order by all")
    return [(int(across), int(up), float(documents)) for across, up, documents in rows]


def _inside(view: View, chosen: str, held: str, outline: str) -> str:
    """Every document inside of the line: how many, the first of them, all as a list, as files and as a rule."""
    ((total, first),) = view.rows(
        "how many lie inside of the line, and the first of them",
        inside(f"{held}.places", outline, f"count(*) as n, arg_min(number, id, {SHOWN}) as first"),
    )
    if not total:
        return paragraph("No document lies inside of the line.", "lead")
    numbers = inside(f"{held}.places", outline, "number")
    view.offer("all inside of the line", f"select id, url, domain from facts where number in ({numbers}) order by id")
    rows: list[dict[str, Any]] = view.records(
        "the first inside of the line",
        "select id, title, url, domain, language, fate, stage, rule, value, threshold, duplicate_of, bytes, begins "
        f"from facts where number in ({', '.join(map(str, first))}) order by id",
    )
    listed = view.link("documents", lasso=outline, vectors=chosen)
    links = [f'<li><a href="{listed}" class="item">As a list with facets</a></li>']
    links += [] if view.static else [
        f'<li><a href="{view.link(None, export="all inside of the line", format=form)}" download>All ids as '
        f"{form.upper() if form == 'csv' else 'Parquet'}</a></li>"
        for form in ("csv", "parquet")
    ]  # fmt: skip
    shown = "".join(document_row(view, row) for row in rows)
    return (
        f"<h2>{count(total)} documents inside of the line</h2><ul class=links>{''.join(links)}</ul>"
        f"{_save(view, chosen, outline, total)}{shown}"
    )


def _save(view: View, chosen: str, outline: str, total: int) -> str:
    if view.static:
        return ""
    if total > MOST_IDS:
        return paragraph(
            f"A rule names its documents one by one, at most {count(MOST_IDS)}: draw a smaller line, or take the list."
        )
    return (
        '<form class="choices save" action="save-rules" method="post">'
        f'<input type="hidden" name="lasso" value="{escape(outline)}"><input type="hidden" name="vectors" '
        f'value="{escape(chosen)}"><label>Save a rule that drops them, after those of the last filter run, as rules/'
        '<input name="name" required maxlength="64" value="without-chosen">.yaml</label><button>Save</button></form>'
    )


def _without_pointer(view: View, chosen: str) -> str:
    """The same for those who draw with no pointer."""
    return (
        '<form class="choices" action="map"><label>Or give the corners: <input name="lasso" placeholder="x,y x,y x,y">'
        f'</label><input type="hidden" name="vectors" value="{escape(chosen)}"><button>List</button></form>'
    )


def _form(view: View, table: str, known: list[str], colour: str, columns: list[str]) -> str:
    return (
        '<form class="choices" action="map">'
        + choose("vectors", "Vectors", [(one, one) for one in known], table)
        + choose("colour", "Colour", [(one, view.source.columns[one]) for one in columns], colour)
        + "<button>Show</button></form>"
    )
