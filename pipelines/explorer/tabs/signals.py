"""Signals: how each is distributed, where the rule's threshold lies, and what another threshold would cost.

Counts for a moved threshold are exact and after all rules of the set. Histograms are drawn from `sampled` where there
are more documents than that holds, and say so. What later stages would make of the change is not counted.
"""

from typing import Any

from ....corpus.store.errors import RequestError
from ....filters.settings import Rule
from ....filters.signals.definitions import DEFINITIONS
from ...report.charts import legend
from ...report.text import count, escape, number, paragraph, percent, size, table
from ..drawings import density, histogram
from ..page import choose, hidden, link
from ..rules import Moved, rule_value, rules_as_yaml
from ..source import where
from ..view import Exported, View, equals
from .documents import document_row

BINS = 60
SERIES = 7  # values of a unit that are told apart; the rest is one
GRID = (64, 44)
EACH_SIDE = 10
LARGEST = 1e300  # beyond it nothing is drawn


def signals(view: View) -> str:
    """The tab: one signal or rule, or the list of them."""
    if "facts" not in view.source.tables:
        return paragraph(f"Not run: gristmill extract INPUT --workspace {view.source.name}", "absent")
    rule = _rule(view)
    name = view.one("signal") or (rule.value if rule is not None else "")
    if not name:
        return _list(view)
    if rule is None and name not in view.source.signals:
        raise RequestError(f"there is no signal {name} in this workspace")
    sql = rule_value(rule) if rule is not None else view.source.signals[name]
    if view.one("part") == "moved" and rule is not None:
        return _moved(view, rule, name, sql)
    body = _form(view, name, rule) + _definition(name)
    try:
        return body + _drawn(view, rule, name, sql)
    except NoValue as error:
        return body + paragraph(str(error), "lead")


class NoValue(RequestError):
    """Of what is asked for no document has a finite value: there is nothing to draw."""


def _drawn(view: View, rule: Rule | None, name: str, sql: str) -> str:
    if view.one("with"):
        return _density(view, name, sql)
    if rule is None:
        return _histogram(view, name, sql, []) + _no_rule(view)
    return _slider(view, rule, sql) + f'<div id="moved" aria-live="polite">{_moved(view, rule, name, sql)}</div>'


def _rule(view: View) -> Rule | None:
    """The rule of the address: by name, or the first one of the set that reads the signal."""
    rules = view.source.rules
    if rules is None:
        return None
    if view.one("rule"):
        return rules.rules[rules.place(view.one("rule"))]
    own = [rule for rule in rules.rules if rule.value.replace('"', "") == view.one("signal")]
    return own[0] if own and view.one("signal") else None


def _no_rule(view: View) -> str:
    if view.source.chain_is_stale:
        return f'<p class="warn">Thresholds cannot be moved: {escape(view.source.chain_is_stale)}</p>'
    return paragraph("No rule of the last filter run reads this signal, so there is no threshold to move.", "lead")


def _list(view: View) -> str:
    body = ""
    rules = view.source.rules
    if rules is not None:
        names = [rule.rule for rule in rules.rules]
        rows = view.rows(
            "rules that fail",
            "select place, sum(fails)::bigint as fails, sum(alone)::bigint as alone from failed group by place "
            "order by place",
        )
        counted = {names[place]: (fails, alone) for place, fails, alone in rows}
        told = [
            (
                link(view.link("signals", rule=rule.rule), rule.rule, "item"),
                rule.value,
                rule.keep,
                _limit(rule),
                *(count(n) for n in counted.get(rule.rule, (0, 0))),
            )
            for rule in rules.rules
        ]
        header = ("rule", "value of", "kept if", "threshold", "fail it", "fail it alone")
        body += f"<h2>Rules of {escape(rules.settings.rules.name)}</h2>" + table(header, told, words=4, most=200)
    elif view.source.chain_is_stale:
        body += f'<p class="warn">{escape(view.source.chain_is_stale)}</p>'
    else:
        body += paragraph(
            f"No rules: gristmill filter --workspace {view.source.name} has not run, or what it read is gone."
        )
    told = [(link(view.link("signals", signal=name), name, "item"), _formula(name)) for name in view.source.signals]
    return body + "<h2>Signals</h2>" + table(("signal", "what it is"), told, words=2, most=1000)


def _limit(rule: Rule) -> str:
    if isinstance(rule.threshold, dict):
        return f"{number(rule.threshold['default'])}; others in {len(rule.threshold) - 1} languages"
    return number(rule.threshold)


def _formula(name: str) -> str:
    family, _, column = name.partition(".")
    told = DEFINITIONS.get(family)
    return "" if told is None else told.columns.get(column, told.columns.get("*", ""))


def _definition(name: str) -> str:
    formula = _formula(name)
    return paragraph(f"{name}: {formula}.", "lead") if formula else ""


def _form(view: View, name: str, rule: Rule | None) -> str:
    known = [(one, one) for one in view.source.signals]
    domains = [row[0] for row in view.source.rows("select distinct domain from cube order by domain")[1]]
    kept = hidden(dict(view.params), ("signal", "rule", "by", "domain", "with", "t"))
    return (
        f'<form class="choices" action="signals">{kept}'
        + choose("signal", "Signal", known if name in view.source.signals else [("", name), *known], name)
        + choose("by", "Colours by", [("", "nothing"), ("domain", "domain"), ("language", "language")], view.one("by"))
        + choose("domain", "Domain", [("", "all"), *((one, one) for one in domains)], view.one("domain"))
        + choose("with", "Beside another signal", [("", "none"), *known], view.one("with"))
        + (
            f'<input type="hidden" name="rule" value="{escape(rule.rule)}">'
            if rule and name not in view.source.signals
            else ""
        )
        + f'<button>Show</button> <a href="{view.link("signals")}">all signals</a></form>'
    )


def _chosen(view: View) -> list[str]:
    return [equals("unit", view.one("domain"))] if view.one("domain") else []


def _relation(view: View, of: str) -> str:
    rules = view.source.rules
    return rules.relation(of) if rules is not None else f"(select *, domain as unit from {of})"


def _bounds(view: View, sql: str, also: list[float]) -> tuple[float, float, bool, int, int]:
    """Low and high of what is drawn, whether the values are whole numbers, documents with a value and without."""
    row = view.source.rows(
        f"select min(v), max(v), approx_quantile(v, 0.005), approx_quantile(v, 0.995), bool_and(v = floor(v)), "
        f"count(v), count(*) - count(v) from (select ({sql})::double as v from {_relation(view, 'sampled')}"
        f"{where(_chosen(view))}) where v is null or not (isnan(v) or isinf(v))"
    )[1][0]
    if row[0] is None:
        raise NoValue("No document here has a finite value of this signal.")
    low, high = min(row[2], *also) if also else row[2], max(row[3], *also) if also else row[3]
    low, high = max(low, -LARGEST), min(high, LARGEST)  # so that their distance is a number
    if also and high - low > 0:
        margin = (high - low) * 0.05
        low, high = max(row[0], low - margin), min(max(row[1], *also), high + margin)
    return low, high if high > low else low + 1.0, bool(row[4]), row[5], row[6]


def _histogram(view: View, name: str, sql: str, lines: list[tuple[float, str]]) -> str:
    low, high, whole, _, absent = _bounds(view, sql, [at for at, _ in lines])
    wide = (high - low) / BINS
    if whole:
        low = float(int(low))
        wide = max(1.0, -(-(high - low + 1) // BINS))
    bins = min(BINS, max(1, int((high - low) / wide) + 1))
    by = view.choice("by", ("domain", "language"))
    unit = f"coalesce({'unit' if by == 'domain' else by}, 'none')" if by else "'documents'"
    place = f"least({bins - 1}, floor((v - {low!r}) / {wide!r}))::int"
    rows = view.rows(
        "histogram",
        f"select {place} as bin, unit, count(*) as documents from (select ({sql})::double as v, {unit} as unit "
        f"from {_relation(view, 'sampled')}{where(_chosen(view))}) where v between {low!r} and {low + bins * wide!r} "
        "group by all order by all",
    )
    sums: dict[str, int] = {}
    for _, value, documents in rows:
        sums[value] = sums.get(value, 0) + documents
    names = sorted(sums, key=lambda one: (-sums[one], one))
    shown = names if len(names) <= SERIES + 1 else [*names[:SERIES], "others"]
    values = [[0.0] * len(shown) for _ in range(bins)]
    for at, value, documents in rows:
        values[at][shown.index(value) if value in shown else len(shown) - 1] += documents
    drawn = histogram(
        [(low + at * wide, low + (at + 1) * wide, values[at]) for at in range(bins)],
        shown,
        lines,
        name,
        f"Distribution of {name} over {count(sum(sums.values()))} documents.",
    )
    about = view.source.rows("select documents, exact from about")[1][0]
    caption = f"Documents by {name}, each column {number(wide)} wide."
    if not about[1]:
        caption += f" Drawn from a sample of {count(sum(sums.values()))} of {count(about[0])} documents."
    if absent:
        caption += f" {count(absent)} have no value."
    return view.figure("histogram drawn", drawn, caption, legend(shown, "swatch") if by else "")


def _slider(view: View, rule: Rule, sql: str) -> str:
    """The threshold, to be moved by hand or by number."""
    now = _default(rule)
    at = view.number("t", now)
    low, high, whole, _, _ = _bounds(view, sql, [now, at])
    step = 1 if whole else (high - low) / 400
    by_language = "" if not isinstance(rule.threshold, dict) else (
        " Thresholds by language move by as much as the default."
    )  # fmt: skip
    return (
        f'<form class="slider" action="signals" data-part="moved">{hidden(dict(view.params), ("t",))}'
        f"<label>Threshold of <b>{escape(rule.rule)}</b> (kept if {escape(rule.keep)}), now {number(now)}.{by_language}"
        f'<input type="range" name="t" min="{low!r}" max="{high!r}" step="{step!r}" value="{at!r}"></label>'
        f'<label>Number <input type="number" name="t" step="any" value="{at!r}"></label><button>Count</button></form>'
    )


def _default(rule: Rule) -> float:
    return rule.threshold["default"] if isinstance(rule.threshold, dict) else rule.threshold


def _moved(view: View, rule: Rule, name: str, sql: str) -> str:
    """The histogram with the line, the exact counts, and documents on both sides of the line."""
    rules = view.source.rules
    if rules is None:
        return _no_rule(view)
    now = _default(rule)
    at = view.number("t", now)
    moved = rules.moved(rule.rule, at)
    if view.one("export") == "rules" and view.one("format") == "yaml":
        raise Exported(f"{rules.settings.rules.name}-{rule.rule}", drawing=rules_as_yaml(moved.rules))
    lines = [(now, f"threshold {number(now)}"), *([(at, f"moved to {number(at)}")] if at != now else [])]
    body = _histogram(view, name, sql, lines)
    return body + _change(view, rule, moved, now, at) + _sides(view, moved) + _save(view, rule, at)


def _change(view: View, rule: Rule, moved: Moved, now: float, at: float) -> str:
    only = _chosen(view)
    rows = view.rows(
        "documents that change sides",
        "select side, count(*) as documents, sum(bytes)::bigint as bytes, sum(about_tokens) as tokens, "
        f"sum(case when tokens is not null then 1 else 0 end)::bigint as counted from {moved.sides()} sides"
        f"{where(only)} group by side order by side",
    )
    passed = view.rows(
        "documents that pass every rule",
        "select coalesce(sum(documents), 0)::bigint as documents, coalesce(sum(bytes), 0)::bigint as bytes, "
        f"sum(about_tokens) as tokens from passing{where(only)}",
    )[0]
    found = {row[0]: row[1:] for row in rows}
    told = []
    for side, words in (("falls", "fall"), ("comes back", "come back")):
        documents, volume, tokens, _ = found.get(side, (0, 0, 0.0 if passed[2] is not None else None, 0))
        told.append((words, count(documents), percent(documents, passed[0]), size(volume or 0), _tokens(tokens)))
    gain = found.get("comes back", (0, 0, 0, 0)), found.get("falls", (0, 0, 0, 0))
    after = passed[0] + gain[0][0] - gain[1][0]
    volume = passed[1] + (gain[0][1] or 0) - (gain[1][1] or 0)
    tokens = None if passed[2] is None else passed[2] + (gain[0][2] or 0) - (gain[1][2] or 0)
    told.append(("pass every rule now", count(passed[0]), "100 %", size(passed[1]), _tokens(passed[2])))
    told.append(("pass every rule then", count(after), percent(after, passed[0]), size(volume), _tokens(tokens)))
    header = (
        f"{rule.rule} from {number(now)} to {number(at)}",
        "documents",
        "of those that pass",
        "bytes",
        "tokens, about",
    )
    note = (
        "Exact, after all rules of the set: a document that another rule drops changes nothing. Later stages, such as "
        "dedup, are not counted again. Tokens of documents that were never tokenized are estimated from the bytes per "
        "token of their domain."
    )
    return table(header, told) + paragraph(note, "lead")


def _tokens(value: Any) -> str:
    return "–" if value is None else count(value)


def _sides(view: View, moved: Moved) -> str:
    """Documents nearest to the line, on both sides, of those that no other rule drops."""
    parts = []
    for words, side in (("Just kept", "will"), ("Just dropped", "not will")):
        nearest = (
            f"select number, value_{moved.place} as measured, was, abs(value_{moved.place} - limit_then) as far "
            f"from {moved.line()} rows{where([side, *_chosen(view)])} order by far nulls last, number limit {EACH_SIDE}"
        )
        rows = view.records(
            f"{words.lower()} at this threshold",
            "select id, title, url, f.domain, language, fate, stage, rule, value, threshold, duplicate_of, bytes, "
            f"begins, measured, was from ({nearest}) near join facts f using (number) order by far nulls last, number",
        )
        shown = "".join(
            f'<div class="near"><p class="measured">{number(row["measured"])}'
            f"{' · changes sides' if row['was'] != (side == 'will') else ''}</p>{document_row(view, row)}</div>"
            for row in rows
        )
        parts.append(f"<section><h3>{words} at this threshold</h3>{shown or paragraph('No document.')}</section>")
    return f'<div class="two">{"".join(parts)}</div>'


def _save(view: View, rule: Rule, at: float) -> str:
    if view.static:
        return ""
    download = view.link(None, export="rules", format="yaml", part="moved", t=at)
    return (
        f'<form class="choices save" action="save-rules" method="post"><input type="hidden" name="rule" '
        f'value="{escape(rule.rule)}"><input type="hidden" name="t" value="{at!r}"><input type="hidden" name="signal" '
        f'value="{escape(view.one("signal"))}"><label>Save the rule set as rules/<input name="name" required '
        f'pattern="[A-Za-z0-9][A-Za-z0-9_\\-]*" maxlength="64" value="{escape(rule.rule)}-moved">.yaml of the workspace'
        f'</label><button>Save</button> <a href="{download}" download>or take it as a file</a></form>'
    )


def _density(view: View, name: str, sql: str) -> str:
    """Two signals at once."""
    other = view.one("with")
    if other not in view.source.signals:
        raise RequestError(f"there is no signal {other} in this workspace")
    second = view.source.signals[other]
    x0, x1, *_ = _bounds(view, sql, [])
    y0, y1, *_ = _bounds(view, second, [])
    wide, tall = GRID
    rows = view.rows(
        "density",
        f"select least({wide - 1}, floor((x - {x0!r}) / {(x1 - x0) / wide!r}))::int as across, "
        f"least({tall - 1}, floor((y - {y0!r}) / {(y1 - y0) / tall!r}))::int as up, count(*) as documents from "
        f"(select ({sql})::double as x, ({second})::double as y from "
        f"{_relation(view, 'sampled')}{where(_chosen(view))}) "
        f"where x between {x0!r} and {x1!r} and y between {y0!r} and {y1!r} group by all order by all",
    )
    related = view.rows(
        "correlation",
        f"select corr(x, y) as pearson, count(*) as documents from (select ({sql})::double as x, "
        f"({second})::double as y "
        f"from {_relation(view, 'sampled')}{where(_chosen(view))}) where abs(x) < 1e100 and abs(y) < 1e100",
    )[0]
    told = f"{name} beside {other}: Pearson {number(related[0])} over {count(related[1])} documents."
    if not rows:
        return paragraph("No document has a value of both.", "lead")
    drawn = density(rows, GRID, (x0, x1, y0, y1), (name, other), told)
    return paragraph(told, "lead") + view.figure("density drawn", drawn, "Darker is more documents, by powers of two.")
