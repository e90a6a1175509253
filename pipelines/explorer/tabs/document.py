"""One document: its text with what was cut and found, its values beside the thresholds, where it comes from, and its
nearest duplicates."""

from collections.abc import Sequence
from typing import Any

from ....corpus.sql import literal
from ....corpus.store.catalog import files
from ....filters.rule_sets import threshold_sql
from ...report.text import Html, count, escape, number, paragraph, percent, table
from ..made.sampling import sample_below
from ..page import link
from ..reading import Mark, WholeDocument, cell_of, pieces, read_document, rows_beside
from ..source import double
from ..view import View
from .documents import fate_of

FEW = 20_000  # documents among which a value has its place
SHOWN = 20_000  # characters that are shown at first
KINDS = {
    "cut": "cut by a stage",
    "repeated": "repeated words",
    "personal": "personal data",
    "contaminated": "of an evaluation set",
}


def document(view: View, id: str = "") -> str:
    """The page of one document."""
    whole = read_document(view, id.strip().lower())
    row = whole.row
    view.title = row["title"] or " ".join((row["begins"] or "").split())[:80] or row["id"]
    body = f'<p class="lead">{fate_of(row)} <code>{escape(row["id"])}</code></p>'
    body += _facts(view, whole) + _way(view, row) + _text(view, whole)
    body += _values(view, whole) + _duplicates(view, row)
    return body


def _facts(view: View, whole: WholeDocument) -> str:
    row = whole.row
    names = ("url", "host", "domain", "source", "date", "language", "license", "license_class", "page_type")
    told: list[tuple[str, Any]] = [(name.replace("_", " "), row[name]) for name in names if row.get(name) is not None]
    told.append(("length", f"{count(row['characters'])} characters, {count(row['bytes'])} bytes"))
    if row.get("tokens") is not None:
        told.append(("tokens", count(row["tokens"])))
    origin = cell_of(view.source, row["file"], row["place"], "origin")
    if origin:
        told.append(("input", f"{origin['path']} at byte {count(origin['offset'] or 0)}"))
    candidates = cell_of(view.source, row["file"], row["place"], "languages") or []
    said = ", ".join(f"{one['label']} {percent(one['score'])}" for one in candidates if one["score"] is not None)
    if said:
        told.append(("languages", said))
    told += _lineage(view, row)
    if isinstance(row.get("extra"), dict):
        told += [(name, value) for name, value in row["extra"].items() if value is not None]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{_shown(value)}</dd>" for name, value in told)
    return f"<dl class=facts>{listed}</dl>"


def _shown(value: Any) -> str:
    return value.source if isinstance(value, Html) else escape(str(value)[:2000])


def _lineage(view: View, document: dict[str, Any]) -> list[tuple[str, Any]]:
    """The capture, the parent of a rewriting, and what was rewritten from this one."""
    told: list[tuple[str, Any]] = []
    id, workspace = document["id"], view.source.workspace
    captures = rows_beside(view, "captures", document)
    if captures:
        for record, captured in view.rows(
            "capture", f"select record, captured from {captures} where id = '{id}' and not revisit limit 1"
        ):
            told.append(("captured", f"{captured}, record {record}"))
    lineage = files(workspace, "lineage")
    if lineage:
        rows = view.records(
            "lineage", f"select id, parent, style, model from {lineage} where id = '{id}' or parent = '{id}' limit 20"
        )
        for row in rows:
            if row["id"] == id:
                told.append(("rewritten from", link(view.link(f"document/{row['parent']}"), row["parent"])))
            else:
                told.append((f"rewritten as {row['style']}", link(view.link(f"document/{row['id']}"), row["id"])))
    return told


def _way(view: View, row: dict[str, Any]) -> str:
    """What each stage decided, in order."""
    if view.source.chain_is_stale:
        return paragraph(f"Its way cannot be shown: {view.source.chain_is_stale}", "warn")
    told: list[tuple[object, ...]] = []
    for stage in view.source.stages:
        if row["fate"] == "dropped" and row["stage"] == stage:
            one = row["duplicate_of"]
            other = link(view.link(f"document/{one}"), one) if one else "–"
            told.append((stage, "dropped", row["rule"] or "–", other, number(row["value"]), number(row["threshold"])))
            break
        told.append((stage, "kept" if row["fate"] != "failed" else "no decision", "–", "–", "–", "–"))
    if not told:
        return ""
    header = ("stage", "fate", "rule", "duplicate of", "value", "threshold")
    return "<h2>Its way</h2>" + table(header, told, words=4)


def _text(view: View, whole: WholeDocument) -> str:
    """The text, every stretch that was cut or found marked; by words in its title as well as by colour."""
    shown = whole.text if view.one("whole") else whole.text[:SHOWN]
    drawn = "".join(_piece(text, marks) for text, marks in pieces(shown, whole.marks))
    found: dict[str, int] = {}
    for mark in whole.marks:
        found[mark.kind] = found.get(mark.kind, 0) + 1
    legend = "".join(
        f'<li><mark class="{kind}">{escape(words)}</mark> {count(found[kind])}</li>'
        for kind, words in KINDS.items()
        if kind in found
    )
    more = ""
    if len(shown) < len(whole.text):
        left = count(len(whole.text) - len(shown))
        more = f'<p><a href="{view.link(None, whole=1)}">Show the {left} characters that are left</a></p>'
    others = "".join(
        f"<details><summary>As {escape(stage)} left it</summary><pre class=text>{escape(text[:SHOWN])}</pre></details>"
        for stage, text in whole.texts.items()
    )
    return (
        f'<h2>Text</h2><ul class="legend">{legend}</ul><pre class="text document" tabindex="0" '
        f'aria-label="Text of the document">{drawn}</pre>{more}{others}'
    )


def _piece(text: str, marks: Sequence[Mark]) -> str:
    if not marks:
        return escape(text)
    kinds = " ".join(dict.fromkeys(mark.kind for mark in marks))
    tip = "; ".join(dict.fromkeys(f"{KINDS[mark.kind]}: {mark.words}" for mark in marks))
    return f'<mark class="{kinds}" title="{escape(tip)}">{escape(text)}</mark>'


def _values(view: View, whole: WholeDocument) -> str:
    """The value of each rule beside its threshold, and the share of documents with a smaller one."""
    rules = view.source.rules
    if rules is None or not rules.rules:
        return ""
    parts = rules.compiled.sql
    values = ", ".join(value for value, _, _ in parts)
    keeps = ", ".join(f"(({keep}) is true) as keep_{n}" for n, (_, keep, _) in enumerate(parts))
    limits = ", ".join(f"({threshold_sql(rule.threshold)})::double as limit_{n}" for n, rule in enumerate(rules.rules))
    number_of = whole.row["number"]
    inner = f"(select *, {values} from {rules.relation(f'(select * from facts where number = {number_of})')})"
    found = view.records("values of the rules", f"select *, {keeps}, {limits} from {inner}")[0]
    below = [
        f"count(value_{n}) filter (value_{n} < {double(found[f'value_{n}'])}) / nullif(count(value_{n}), 0)::double "
        f"as below_{n}"
        if found[f"value_{n}"] is not None
        else f"null as below_{n}"
        for n in range(len(parts))
    ]
    count = int(view.source.rows("select count(*) from sampled")[1][0][0])
    few = f"(select * from sampled where id < '{sample_below(count, FEW)}')"
    places = view.rows(
        "place among a sample of documents",
        f"select {', '.join(below)} from (select {values} from {rules.relation(few)})",
    )[0]
    told = []
    for n, rule in enumerate(rules.rules):
        fate = "passes" if found[f"keep_{n}"] else Html("<b class=fails>fails</b>")
        name = link(view.link("signals", rule=rule.rule), rule.rule)
        where_it_lies = "–" if places[n] is None else f"above {percent(places[n])}"
        told.append(
            (name, rule.value, fate, number(found[f"value_{n}"]), number(found[f"limit_{n}"]), rule.keep, where_it_lies)
        )
    header = ("rule", "value of", "", "value", "threshold", "kept if", "among documents")
    return "<h2>Values and thresholds</h2>" + table(header, told, words=3, most=200)


def _duplicates(view: View, row: dict[str, Any]) -> str:
    if "copies" not in view.source.tables:
        return ""
    id = literal(row["id"])
    rows = view.records(
        "its cluster",
        "select o.id, o.title, o.url, o.begins, o.host, o.survivor, o.jaccard, o.method, o.cluster, o.scope, "
        f"o.match = {id} or m.match = o.id as linked from copies m join copies o using (scope, cluster) "
        f"where m.id = {id} and o.id <> {id} order by linked desc, o.jaccard desc, o.id limit 20",
    )
    if not rows:
        return "<h2>Nearest duplicates</h2>" + paragraph("No other document was found to be a duplicate of this one.")
    told = [
        (
            link(view.link(f"document/{one['id']}"), (one["title"] or one["begins"] or one["id"])[:80]),
            one["host"] or "–",
            "survives" if one["survivor"] else "dropped",
            link(view.link(f"pair/{row['id']}/{one['id']}"), "side by side"),
            one["method"] or "–",
            number(one["jaccard"]),
        )
        for one in rows
    ]
    header = ("document", "host", "fate", "", "found by", "its closest match")
    cluster = link(view.link(f"cluster/{rows[0]['cluster']}"), "the whole cluster").source
    return f"<h2>Nearest duplicates</h2>{table(header, told, words=5)}<p>{cluster}</p>"
