"""Duplicates: clusters by size, host and domain, and what another threshold or scope would change."""

from ...report.charts import columns
from ...report.curation import CLUSTER_SIZES
from ...report.text import count, escape, number, paragraph, table
from ..page import hidden, link, share
from ..pairs import SCOPES, recount
from ..source import where
from ..view import View, equals

CLUSTERS = 50


def duplicates(view: View) -> str:
    """The tab."""
    if "duplicates" in view.source.stale:
        return paragraph(view.source.stale["duplicates"], "warn")
    if "clusters" not in view.source.tables:
        return paragraph(f"Not run: gristmill dedup --workspace {view.source.name}", "absent")
    chosen = [equals(name, view.one(name)) for name in ("host", "domain") if view.one(name)]
    low, high = view.count("from", 2, 2), view.count("to", 1 << 40, 2, 1 << 40)
    sized = [f"members between {low} and {high}"] if view.one("from") or view.one("to") else []
    return _sizes(view) + _other(view) + _by(view) + _clusters(view, chosen, sized)


def _sizes(view: View) -> str:
    rows = view.rows(
        "clusters by size", "select members, count(*) as clusters from clusters group by members order by members"
    )
    gone = view.rows("documents that duplicate another", "select count(*) filter (not survivor) as n from copies")[0][0]
    if not rows:
        return paragraph("No two documents were found to be duplicates.", "lead")
    classes, opened = [], []
    for low, high in CLUSTER_SIZES:
        inside = sum(number for members, number in rows if low <= members <= high)
        name = str(low) if low == high else f"{low}–{high}" if high < 1 << 62 else f"{low}+"
        classes.append((name, inside))
        if inside:
            address = view.link("duplicates", **{"from": low, "to": min(high, 1 << 40)})
            opened.append(f'<li><a href="{address}">{escape(name)} documents</a>: {count(inside)}</li>')
    while classes and not classes[-1][1]:
        classes.pop()
    told = f"{count(sum(number for _, number in rows))} clusters; {count(gone)} documents duplicate another one."
    drawn = columns(classes, count, "documents in the cluster", f"Clusters by size. {told}")
    figure = view.figure("clusters by size drawn", drawn, "Clusters by their number of documents.")
    return paragraph(told, "lead") + figure + f"<ul class=links>{''.join(opened)}</ul>"


def _other(view: View) -> str:
    """What another threshold or a narrower scope would drop."""
    asked = bool(view.one("threshold") or view.one("scope"))
    if view.static and not asked:
        return ""
    told = recount(view, asked)
    now = number(told.threshold)
    form = (
        f'<form class="choices" action="duplicates">{hidden(dict(view.params), ("threshold", "scope"))}'
        f'<label>Threshold of Jaccard <input type="number" name="threshold" min="{now}" max="1" step="0.01" '
        f'value="{escape(view.one("threshold") or now)}"></label><label>Scope <select name="scope">'
        + "".join(f"<option{' selected' if one == told.scope else ''}>{one}</option>" for one in SCOPES)
        + "</select></label><button>Count</button></form>"
    )
    said = told.why or (
        "Counted from the pairs that were compared, once another threshold or scope is chosen."
        if not asked
        else f"At {number(told.asked)} within the scope {told.scope}: {count(told.clusters)} clusters, "
        f"{count(told.dropped)} documents would be dropped; now {count(told.now)} are. Counted from the pairs "
        "that were "
        f"compared, so that it is the least that such a run drops; what later stages do is not counted again."
    )
    return f"<h2>What another threshold would change</h2>{form}{paragraph(said)}"


def _by(view: View) -> str:
    body = ""
    for unit in ("host", "domain"):
        rows = view.rows(
            f"copies by {unit}",
            f"select coalesce({unit}, '') as {unit}, count(*) as documents, count(*) filter (not survivor) as dropped "
            f"from copies group by 1 order by dropped desc, 1 limit 200",
        )
        told = [
            (link(view.link("duplicates", **{unit: name}), name or "none"), count(n), count(gone), share(gone, n))
            for name, n, gone in rows
        ]
        header = (unit, "in clusters", "dropped", "share dropped")
        body += (
            f"<details{' open' if unit == 'domain' else ''}><summary>By "
            f"{unit}</summary>{table(header, told, most=50)}</details>"
        )
    return body


def _clusters(view: View, chosen: list[str], sized: list[str]) -> str:
    inside = [f"(scope, cluster) in (select (scope, cluster) from copies{where(chosen)})"] if chosen else []
    rows = view.records(
        "clusters",
        "select c.scope, c.cluster, members, lowest, methods, c.survivor, hosts, domains, c.host, c.domain, "
        "k.title, k.begins "
        f"from (select * from clusters{where([*sized, *inside])} order by members desc, cluster limit {CLUSTERS}) c "
        "left join copies k on k.id = c.survivor order by members desc, c.cluster",
    )
    told = [
        (
            link(
                view.link(f"cluster/{row['cluster']}"), (row["title"] or row["begins"] or row["cluster"])[:80], "item"
            ),
            row["host"] if row["hosts"] == 1 else f"{count(row['hosts'])} hosts" if row["hosts"] else "–",
            row["domain"] if row["domains"] == 1 else f"{count(row['domains'])} domains",
            row["methods"],
            count(row["members"]),
            number(row["lowest"]),
        )
        for row in rows
    ]
    title = " of " + ", ".join(view.one(name) for name in ("host", "domain") if view.one(name)) if chosen else ""
    header = ("cluster", "host", "domain", "found by", "documents", "lowest Jaccard")
    return f"<h2>Largest clusters{escape(title)}</h2>" + table(header, told, words=4, most=CLUSTERS)
