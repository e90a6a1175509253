"""The funnel: stages, units, hosts and rules, where each bar opens the documents behind it."""

from typing import Any

from ...report.charts import legend
from ...report.text import count, escape, paragraph, percent, size, table
from ..drawings import LinkedBar, linked_bars
from ..page import choose, hidden, link, share
from ..source import where
from ..view import View, equals

UNITS = {
    "domain": "domain",
    "source": "source",
    "host": "host",
    "language": "language",
    "page_type": "kind of page",
    "license_class": "class of licence",
    "license": "licence",
}
SHOWN = 20  # bars of a unit
FATES = ("kept", "dropped")


def funnel(view: View) -> str:
    """Documents through the stages, by unit, and by rule."""
    if "facts" not in view.source.tables:
        return paragraph(f"Not run: gristmill extract INPUT --workspace {view.source.name}", "absent")
    why = view.source.chain_is_stale
    body = "" if not why else f'<p class="warn">Fates cannot be shown: {escape(why)}</p>'
    domain = view.one("domain")
    chosen = [equals("domain", domain)] if domain else []
    body += _form(view)
    if why:
        return body + _units(view, chosen)
    body += _stages(view, chosen) + _units(view, chosen) + _rules(view, chosen)
    return body


def _form(view: View) -> str:
    units = list(UNITS.items())
    domains = [row[0] for row in view.source.rows("select distinct domain from cube order by domain")[1]]
    return (
        f'<form class="choices" action="funnel">{hidden(dict(view.params), ("by", "domain"))}'
        + choose("by", "Bars by", units, view.one("by", "domain"))
        + choose("domain", "Domain", [("", "all"), *((name, name) for name in domains)], view.one("domain"))
        + "<button>Show</button></form>"
    )


def _stages(view: View, chosen: list[str]) -> str:
    rows = view.rows(
        "stages",
        "select fate, stage, sum(documents)::bigint as documents, sum(bytes)::bigint as bytes, "
        f"sum(about_tokens) as tokens from cube{where(chosen)} group by all order by all",
    )
    whole = sum(row[2] for row in rows)
    all_bytes = sum(row[3] for row in rows)
    if not whole:
        return paragraph("No document.", "lead")
    domain = view.one("domain") or None
    left, left_bytes = whole, all_bytes
    bars = [
        LinkedBar(
            "extract", [(whole, view.link("documents", domain=domain)), (0, "")], f"{count(whole)}, {size(all_bytes)}"
        )
    ]
    told: list[tuple[object, ...]] = [("extract", count(whole), "–", count(whole), percent(1), size(all_bytes))]
    for stage in view.source.stages:
        dropped = sum(row[2] for row in rows if row[0] == "dropped" and row[1] == stage)
        gone = sum(row[3] for row in rows if row[0] == "dropped" and row[1] == stage)
        entered, left, left_bytes = left, left - dropped, left_bytes - gone
        kept_link = view.link("documents", after=stage, domain=domain)
        dropped_link = view.link("documents", fate="dropped", stage=stage, domain=domain)
        note = f"{count(left)} kept, {percent(left, whole)}"
        bars.append(LinkedBar(stage, [(left, kept_link), (dropped, dropped_link)], note))
        told.append(
            (
                stage,
                count(entered),
                link(dropped_link, count(dropped)),
                link(kept_link, count(left)),
                share(left, whole),
                size(left_bytes),
            )
        )
    failed = sum(row[2] for row in rows if row[0] == "failed")
    said = f"{count(whole)} documents; {count(left - failed)} are kept, {percent(left - failed, whole)}."
    if failed:
        said += f" {count(failed)} have no decision, because a stage could not process them."
    drawn = linked_bars(bars, FATES, count, f"Documents kept and dropped by stage. {said}")
    header = ("stage", "in", "dropped", "kept", "of all", "text as extracted")
    return (
        paragraph(said, "lead")
        + view.figure("stages drawn", drawn, "Each bar opens the documents behind it.", legend(FATES, "swatch"))
        + table(header, told)
    )


def _units(view: View, chosen: list[str]) -> str:
    by = view.choice("by", list(UNITS), "domain")
    relation = "hosts" if by == "host" and not chosen else "facts" if by == "host" else "cube"
    one = "documents" if relation != "facts" else "1"
    rows = view.rows(
        f"by {UNITS[by]}",
        f"select coalesce({by}, '') as {by}, sum({one}) filter (fate = 'kept')::bigint as kept, "
        f"sum({one}) filter (fate <> 'kept')::bigint as dropped, sum(bytes)::bigint as bytes, "
        f"sum(about_tokens)::bigint as about_tokens from {relation}{where(chosen)} group by all "
        f"order by coalesce(dropped, 0) + coalesce(kept, 0) desc, 1 limit 500",
    )
    domain = view.one("domain") or None
    bars, told = [], []
    for name, kept, dropped, volume_of, tokens in rows:
        kept, dropped = kept or 0, dropped or 0
        own = {"domain": domain} | {by: name or "–none–"}
        kept_link = view.link("documents", **own, fate="kept")
        gone_link = view.link("documents", **own, fate="dropped")
        label = name or "none"
        if len(bars) < SHOWN:
            note = f"{count(kept)} of {count(kept + dropped)}"
            bars.append(LinkedBar(label, [(kept, kept_link), (dropped, gone_link)], note))
        told.append(
            (
                link(view.link("documents", **own), label),
                count(kept + dropped),
                link(kept_link, count(kept)),
                link(gone_link, count(dropped)),
                share(dropped, kept + dropped),
                size(volume_of),
                count(tokens) if tokens is not None else "–",
            )
        )
    if not bars:
        return ""
    drawn = linked_bars(bars, FATES, count, f"Documents kept and dropped by {UNITS[by]}")
    caption = f"The {len(bars)} largest of {count(len(rows))}." if len(rows) > len(bars) else f"By {UNITS[by]}."
    header = (UNITS[by], "documents", "kept", "dropped", "share dropped", "bytes", "tokens, about")
    return (
        f"<h2>By {escape(UNITS[by])}</h2>"
        + view.figure(f"by {UNITS[by]} drawn", drawn, caption, legend(FATES, "swatch"))
        + table(header, told, most=100)
    )


def _rules(view: View, chosen: list[str]) -> str:
    rows = view.rows(
        "rules",
        "select stage, rule, sum(documents)::bigint as documents, sum(bytes)::bigint as bytes from cube"
        f"{where([*chosen, repr('dropped') + ' = fate'])} group by all order by documents desc, stage, rule",
    )
    rules = view.source.rules
    alone: dict[str, tuple[int, int]] = {}
    if rules is not None:
        names = [rule.rule for rule in rules.rules]
        for place, fails, only in view.rows(
            "filter rules, alone and together",
            f"select place, sum(fails)::bigint as fails, sum(alone)::bigint as alone from failed{where(chosen)} "
            "group by place order by place",
        ):
            alone[names[place]] = (fails, only)
    samples = _samples(view, chosen)
    domain = view.one("domain") or None
    told = []
    seen = set()
    for stage, rule, documents, volume in rows:
        opened = view.link("documents", fate="dropped", stage=stage, rule=rule or "–none–", domain=domain)
        own = alone.get(rule) if stage == "filter" else None
        seen.add(rule if stage == "filter" else None)
        told.append(_rule_row(view, stage, rule, documents, volume, own, opened, samples.get((stage, rule))))
    for name, own in alone.items():
        if name not in seen:
            told.append(_rule_row(view, "filter", name, 0, 0, own, None, None))
    if not told:
        return ""
    header = ("stage", "rule", "a document", "dropped", "bytes", "fail it", "fail it alone")
    note = (
        "Dropped: the first rule that a document fails is on record. Fail it: whatever else the document "
        "fails. Fail it "
        "alone: what would come back without this rule."
    )
    body = "<h2>By rule</h2>" + table(header, told, words=3, most=200) + paragraph(note, "lead")
    return body + _pairs(view)


def _rule_row(view: View, stage: str, rule: str | None, documents: int, volume: int, own: Any, opened: Any,
              sample: Any) -> tuple:  # fmt: skip
    domain = view.one("domain") or None
    shown: object = "–"
    if sample:
        name, title, begins = sample
        shown = link(view.link(f"document/{name}"), (title or begins or name)[:70])
    cells: list[object] = ["–", "–"]
    if own is not None:
        cells = [
            link(view.link("documents", fails=rule, domain=domain), count(own[0])),
            link(view.link("documents", fails=rule, alone="1", domain=domain), count(own[1])),
        ]
    named: object = rule or "no rule named"
    if stage == "filter" and rule and view.source.rules is not None and own is not None:
        named = link(view.link("signals", rule=rule), rule)
    return (stage, named, shown, link(opened, count(documents)) if opened else count(documents), size(volume), *cells)


def _samples(view: View, chosen: list[str]) -> dict[tuple[str, str | None], tuple]:
    """(stage, rule) -> a document of it: that of the smallest id, which nobody chose."""
    rows = view.rows(
        "a document of each rule",
        "select stage, rule, min(id) as id, arg_min(title, id) as title, arg_min(begins, id) as begins from sampled"
        f"{where([*chosen, repr('dropped') + ' = fate'])} group by all order by all",
    )
    return {(stage, rule): (name, title, begins) for stage, rule, name, title, begins in rows}


def _pairs(view: View) -> str:
    rules = view.source.rules
    if rules is None:
        return ""
    rows = view.rows("pairs of rules", "select a, b, documents from pairs order by documents desc, a, b limit 20")
    if not rows:
        return ""
    names = [rule.rule for rule in rules.rules]
    told = [
        (names[a], names[b], link(view.link("documents", fails=[names[a], names[b]]), count(documents)))
        for a, b, documents in rows
    ]
    return "<h3>Rules that fail together</h3>" + table(("rule", "and rule", "documents"), told, words=2)
