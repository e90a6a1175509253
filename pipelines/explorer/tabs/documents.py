"""Documents: a list by facets, words and conditions, with the counts of every facet under what is chosen."""

from collections.abc import Sequence

from ....corpus.sql import literal
from ....corpus.store.errors import RequestError
from ...report.text import count, escape, excerpt, number, paragraph, size
from ..lasso import lasso_condition, lasso_rows
from ..made.search import Found, found_by_words
from ..made.summaries import GROUPS
from ..page import choose, hidden, link
from ..source import numbers_of, where
from ..view import View, equals

PAGE = 25
NONE = "–none–"  # what an address says for a value that is absent
FACETS = ("fate", "stage", "rule", "domain", "source", "language", "page_type", "license_class")
SORTS = {"": "id", "largest": "bytes desc, id", "smallest": "bytes, id"}
VALUES = 12  # of a facet that are shown


def conditions(view: View) -> tuple[list[str], bool]:
    """SQL conditions over `facts` of what an address chooses, and whether `cube` knows all that they read."""
    found, coarse = [], True
    for name in GROUPS:
        chosen = view.all(name)
        if chosen:
            found.append("(" + " or ".join(equals(name, "" if one == NONE else one) for one in chosen) + ")")
    if view.one("host"):
        found.append(equals("host", "" if view.one("host") == NONE else view.one("host")))
        coarse = False
    after = view.choice("after", view.source.stages) if view.one("after") else ""
    if after:
        stages = view.source.stages
        gone = ", ".join(literal(stage) for stage in stages[: stages.index(after) + 1])
        found.append(f"not (fate = 'dropped' and stage in ({gone}))")
    fine = [*_by_rules(view), *_by_columns(view)]
    if view.one("where"):
        asked = view.one("where")
        view.source.own_query(f"select * from facts where ({asked}\n)")
        fine.append(f"({asked}\n)")
    if view.one("q").strip():
        ids = words_of(view).ids  # the best ones, at most as many as the list can be long
        fine.append(f"number in ({numbers_of(ids)})" if ids else "false")
    return found + fine, coarse and not fine


def _of_facts(view: View) -> list[str]:
    """SQL conditions over `facts` of all that an address chooses."""
    return [*conditions(view)[0], *([lasso_condition(view)] if view.one("lasso") else [])]


def _table(view: View) -> tuple[str, list[str], bool]:
    """What holds the documents that an address chooses, by id, number and cell; the conditions on it; whether `cube`
    knows all that they read. The map's own rows are a tenth of the bytes of `facts`, where nothing else is asked."""
    chosen, coarse = conditions(view)
    if not (view.one("lasso") and coarse):
        return "facts", _of_facts(view), coarse and not view.one("lasso")
    cells = [f"cell in (select cell from cube{where(chosen)})"] if chosen else []
    return f"({lasso_rows(view, 'id, number, cell')})", cells, False


def words_of(view: View) -> Found:
    """What the words of the address find."""
    words, held = view.one("q"), view.source.found
    if words not in held:
        found = found_by_words(view.source.workspace, words, view.source.search_documents)
        held.clear()  # the last words alone: one page asks for them more than once
        held[words] = found
        return found
    return held[words]


def _by_rules(view: View) -> list[str]:
    rules = view.source.rules
    asked = view.all("fails")
    if not asked:
        return []
    if rules is None:
        raise RequestError("the rules of the filter are not known, so no document can be asked for by what it fails")
    places = [rules.place(name) for name in asked]
    few = f"sole in ({places[0]}, -2)" if len(set(places)) == 1 else "sole = -2"  # a number, read before the lists
    if view.one("alone"):
        return [few, f"failing = [{', '.join(map(str, sorted(places)))}]"]
    return [few, *(f"list_contains(failing, {place})" for place in places)]


def _by_columns(view: View) -> list[str]:
    """`is="family"."column"=value`, and a signal between `low` and `high`."""
    found = []
    for asked in view.all("is"):
        column = max((one for one in view.source.columns if asked.startswith(f"{one}=")), key=len, default="")
        if not column:
            raise RequestError(f"there is no column to choose by in {asked!r}")
        value = asked[len(column) + 1 :]
        found.append(equals(f"{column}::varchar", "" if value == NONE else value))
    name = view.one("signal")
    if name:
        if name not in view.source.signals:
            raise RequestError(f"there is no signal {name}")
        column = view.source.signals[name]
        if view.one("low"):
            found.append(f"{column} >= {view.number('low', 0)!r}")
        if view.one("high"):
            found.append(f"{column} < {view.number('high', 0)!r}")
    return found


def documents(view: View) -> str:
    """The list, the facets, and the ways to choose."""
    if "facts" not in view.source.tables:
        return paragraph(f"Not run: gristmill extract INPUT --workspace {view.source.name}", "absent")
    view.kept = _form(view) + _chosen(view)
    table, chosen, coarse = _table(view)
    facets, total = _facets(view, table, chosen, coarse)
    at = view.count("page", 1, 1, 10_000_000)
    order = SORTS[view.choice("sort", list(SORTS))]
    if order != SORTS[""]:
        table, chosen = "facts", _of_facts(view)
    rows = view.records(
        "documents",
        f"with chosen as (select number from {table}{where(chosen)} order by {order} limit {PAGE} "
        f"offset {PAGE * (at - 1)}) "
        "select id, title, url, domain, language, fate, stage, rule, value, threshold, duplicate_of, bytes, begins "
        f"from facts join chosen using (number) order by {order}",
    )
    body = view.kept
    order_said = "" if view.one("sort") else "; in the order of their ids, which nobody chose"
    body += f'<p class="lead"><b>{count(total)}</b> documents{order_said}.</p>'
    if view.one("q").strip():
        body += paragraph(f"Among {words_of(view).said}", "lead")
    body += f'<div class="beside"><aside aria-label="Facets">{facets}</aside><div>'
    body += "".join(document_row(view, row) for row in rows) or paragraph("No document.")
    return body + _pages(view, at, total) + "</div></div>"


def document_row(view: View, row: dict) -> str:
    """One document of a list: how it begins, where it is from, and why it is where it is."""
    first = row["title"] or " ".join((row["begins"] or "").split()) or row["id"]
    begins = f'<p class="begins">{excerpt(row["begins"] or "", 160)}</p>' if row["title"] else ""
    facts = " · ".join(str(row[name]) for name in ("domain", "language") if row.get(name))
    return (
        f'<article class="row"><h3><a href="{view.link("document/" + row["id"])}" '
        f'class="item">{escape(first[:160])}</a>'
        f"</h3><p>{fate_of(row)} <span>{escape(facts)} · {size(row['bytes'])}</span></p>"
        f'<p class="sub">{escape(row["url"] or row["id"])}</p>{begins}</article>'
    )


def fate_of(row: dict) -> str:
    """A document's fate in words, as HTML."""
    if row["fate"] != "dropped":
        return f'<b class="fate {escape(row["fate"])}">{escape(row["fate"])}</b>'
    value = "absent" if row["value"] is None else number(row["value"])
    if row["duplicate_of"]:
        value = number(row["value"])
    limit = f", threshold {number(row['threshold'])}" if row["threshold"] is not None else ""
    told = f"{row['stage']}: {row['rule'] or 'no rule named'} {value}{limit}"
    return f'<b class="fate dropped">dropped</b> <span class="why">{escape(told)}</span>'


def _facets(view: View, table: str, chosen: Sequence[str], coarse: bool) -> tuple[str, int]:
    names = [*FACETS]
    relation, one = f"cube{where(chosen)}", "documents"
    if not coarse:  # each document is counted once, in its row of `cube`, and not once a facet
        by_cell = f"select cell, count(*) as counted from {table}{where(chosen)} group by cell"
        relation, one = f"({by_cell}) join cube using (cell)", "counted"
    sets = ", ".join(f"({name})" for name in names)
    rows = view.rows(
        "facets",
        f"select {', '.join(names)}, grouping({', '.join(names)}) as which, sum({one})::bigint as documents "
        f"from {relation} group by grouping sets ({sets}, ()) order by documents desc, {', '.join(names)}, which",
    )
    whole = (1 << len(names)) - 1
    total = next((row[-1] or 0 for row in rows if row[-2] == whole), 0)
    parts = []
    for place, name in enumerate(names):
        which = whole ^ (1 << (len(names) - 1 - place))
        values = [(row[place], row[-1]) for row in rows if row[-2] == which]
        if len(values) > 1 or view.one(name):
            parts.append(_facet(view, name, name.replace("_", " "), values))
    return "".join(parts) + _own_facet(view), total


def _facet(view: View, name: str, words: str, values: Sequence[tuple]) -> str:
    chosen = view.all(name)
    items = []
    for value, documents in values[:VALUES]:
        told = NONE if value is None or value == "" else str(value)
        on = told in chosen
        address = view.link(
            None, **{name: [one for one in chosen if one != told] if on else [*chosen, told]}, page=None
        )
        shown = escape("none" if told == NONE else told)
        items.append(
            f'<li><a href="{address}"{" class=on aria-current=true" if on else ""}>{shown}</a> '
            f"<span>{count(documents)}</span></li>"
        )
    more = f"<li>and {count(len(values) - VALUES)} more</li>" if len(values) > VALUES else ""
    return f"<details open><summary>{escape(words)}</summary><ul>{''.join(items)}{more}</ul></details>"


def _own_facet(view: View) -> str:
    """Counts by any other column, the user's own included."""
    column = view.one("facet")
    others = [(one, name) for one, name in view.source.columns.items() if name not in FACETS]
    form = (
        f'<form action="documents">{hidden(dict(view.params), ("facet",))}'
        + choose("facet", "Facet by", [("", "choose a column"), *others], column)
        + "<button>Count</button></form>"
    )
    if not column:
        return form
    if column not in view.source.columns:
        raise RequestError(f"there is no column {column} to count by")
    rows = view.rows(
        f"by {view.source.columns[column]}",
        f"select {column}::varchar as chosen, count(*) as documents from facts{where(_of_facts(view))} group by 1 "
        f"order by documents desc, 1 limit 50",
    )
    asked = view.all("is")
    items = []
    for value, documents in rows[: 2 * VALUES]:
        told = f"{column}={NONE if value is None else value}"
        address = view.link(None, **{"is": [*asked, told]}, page=None)
        items.append(
            f'<li><a href="{address}">{escape("none" if value is None else value[:60])}</a> '
            f"<span>{count(documents)}</span></li>"
        )
    return form + f"<ul class=own>{''.join(items)}</ul>"


def _form(view: View) -> str:
    return (
        f'<form class="choices" action="documents" role="search">{hidden(dict(view.params), ("q", "where", "sort"))}'
        f'<label>Words <input type="search" name="q" value="{escape(view.one("q"))}" class="search"></label>'
        f'<label>Condition <input name="where" value="{escape(view.one("where"))}" placeholder="bytes > 1000 '
        "and host like "
        "'%.org'\"></label>"
        + choose(
            "sort",
            "Order",
            [("", "by id"), ("largest", "largest first"), ("smallest", "smallest first")],
            view.one("sort"),
        )
        + "<button>Find</button></form>"
    )


def _chosen(view: View) -> str:
    """What is chosen beyond the facets, each with a way to take it away."""
    items = []
    for name in ("q", "where", "after", "host", "license", "fails", "alone", "is", "signal", "low", "high", "lasso"):
        for value in view.all(name):
            if value:
                shown = value if len(value) <= 80 else f"{value[:80]} …"
                left = [one for one in view.all(name) if one != value]
                away = {name: left} | ({"low": None, "high": None} if name == "signal" else {})
                items.append(
                    f'<li>{escape(name)}: {escape(shown)} <a href="{view.link(None, **away, page=None)}" '
                    f'aria-label="take {escape(name)} away">×</a></li>'
                )
    return f'<ul class="chosen">{"".join(items)}</ul>' if items else ""


def _pages(view: View, at: int, total: int) -> str:
    last = max(1, -(-total // PAGE))
    links = []
    if at > 1:
        links.append(link(view.link(None, page=at - 1), "previous", "previous").source)
    if at < last:
        links.append(link(view.link(None, page=at + 1), "next", "next").source)
    return f'<p class="pages">page {count(at)} of {count(last)} {" ".join(links)}</p>'
