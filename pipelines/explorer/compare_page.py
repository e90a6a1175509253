"""The comparison of two workspaces as one page, with the report's frame and charts: no script, no network."""

from importlib import resources
from string import Template
from typing import Any

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import replacing
from ..report.charts import dots, legend
from ..report.text import bits, count, escape, figure, paragraph, percent, size, table

DOMAINS = 30  # in one chart


def compare_page(told: dict[str, Any]) -> str:
    """The page of what `compare` told."""
    first, second = told["names"]
    if first == second:
        first, second = f"{first} (1)", f"{second} (2)"
    sections = {
        "documents": ("Documents", _documents(told, first, second)),
        "funnel": ("Funnel", _funnel(told, first, second)),
        "changed": ("Fates that changed", _changed(told)),
        "rules": ("Rules that differ", _rules(told, first, second)),
        "shares": ("Shares", _shares(told, first, second)),
        "losses": ("Losses", _losses(told, first, second)),
    }
    shown = {key: one for key, one in sections.items() if one[1]}
    package = __name__.rpartition(".")[0].rpartition(".")[0]
    frame = Template(resources.files(f"{package}.report").joinpath("page.html").read_text("utf-8"))
    return frame.substitute(
        title=f"{escape(first)} and {escape(second)} · gristmill compare",
        heading=f"{escape(first)} and {escape(second)}",
        lead="<p>What changed between two workspaces: documents, fates and their reasons, shares, losses.</p>",
        contents="".join(f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in shown.items()),
        tiles="",
        sections="\n".join(f'<section id="{k}"><h2>{title}</h2>{body}</section>' for k, (title, body) in shown.items()),
        footer="Written by gristmill compare.",
    )


def write_comparison(told: dict[str, Any], output: str) -> None:
    """Write the page, whole or not at all."""
    try:
        with replacing(output) as scratch, open(scratch, "w", encoding="utf-8", newline="\n") as file:
            file.write(compare_page(told))
    except OSError as error:
        raise RequestError(f"--output {output} cannot be written: {error}") from error


def _documents(told: dict[str, Any], first: str, second: str) -> str:
    own = told["documents"]
    rows = [
        ("in both", count(own["both"])),
        ("of these, the same by id", count(own["by_id"])),
        ("of these, the same by address alone", count(own["by_address"])),
        (f"only in {first}", count(own["only_a"])),
        (f"only in {second}", count(own["only_b"])),
        ("in both, with the same fate for the same reason", count(own["same_fate"])),
        ("in both, kept in one and not in the other", count(own["changed_sides"])),
        ("in both, with a text of another length", count(own["other_length"])),
    ]
    return table(("", "documents"), rows)


def _funnel(told: dict[str, Any], first: str, second: str) -> str:
    rows = []
    for row in told["funnel"]:
        cells = []
        for name in "ab":
            own = row[name]
            told_of = [count(own[n]) for n in ("in", "dropped", "kept")] if own else ["–"] * 3
            cells += [*told_of, percent(own["kept"], own["in"]) if own else "–"]
        rows.append((row["stage"], *cells))
    header = ("stage", *("in", "dropped", "kept", "of these") * 2)
    return table(header, rows, groups=[("", 1), (first, 4), (second, 4)])


def _changed(told: dict[str, Any]) -> str:
    if not told["changed"]:
        return paragraph("No document that is in both has another fate.", "lead")
    rows = [(row["why"], row["examples"][0], size(row["bytes"]), count(row["documents"])) for row in told["changed"]]
    return table(("what happened", "for example", "bytes", "documents"), rows, words=2, most=100)


def _rules(told: dict[str, Any], first: str, second: str) -> str:
    rows = []
    for row in told["rules"]:
        rows.append((row["rule"], *(_rule(row[name]) for name in "ab")))
    return table(("rule", first, second), rows, words=3, most=200) if rows else ""


def _rule(rule: dict[str, Any] | None) -> str:
    return "no such rule" if rule is None else f"{rule['value']}: {rule['keep']}, threshold {rule['threshold']}"


def _shares(told: dict[str, Any], first: str, second: str) -> str:
    own = told["domains"][:DOMAINS]
    if not own:
        return ""
    names = (first, second)
    drawn = dots(
        [(row["domain"], {first: [row["share_a"]], second: [row["share_b"]]}) for row in own],
        names,
        lambda share: f"{100 * share:.0f} %",
        "share of kept bytes",
        "Share of kept bytes by domain in both workspaces",
        zero=True,
    )
    rows = [
        (
            row["domain"],
            count(row["documents_a"]),
            count(row["documents_b"]),
            percent(row["share_a"]),
            percent(row["share_b"]),
            f"{100 * (row['share_b'] - row['share_a']):+.1f}",
        )
        for row in told["domains"]
    ]
    groups = [("", 1), ("documents kept", 2), ("share of kept bytes", 3)]
    body = figure(drawn, "Share of the kept text.", legend(names))
    body += table(("domain", *names, *names, "points"), rows, groups=groups)
    if told["recipes"]:
        listed = [
            (row["domain"], *(", ".join(percent(share) for share in row[name]) for name in "ab"))
            for row in told["recipes"]
        ]
        body += "<h3>Recipes</h3>" + table(("domain", *names), listed)
    return body


def _losses(told: dict[str, Any], first: str, second: str) -> str:
    rows = [
        (
            first if row["workspace"] == "a" else second,
            row["kind"],
            row["name"].replace("_", " "),
            count(row["tokens"]) if row["tokens"] is not None else "–",
            f"{row['loss']:.4f}" if row["loss"] is not None else "–",
            bits(row["bits_per_byte"]) if row["bits_per_byte"] is not None else "–",
        )
        for row in told["losses"]
    ]
    return (
        table(("workspace", "of", "name", "tokens", "last loss", "bits per byte"), rows, words=3, most=200)
        if rows
        else ""
    )
