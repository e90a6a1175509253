"""The report: one HTML page that shows what a workspace holds and what came of it.

Self-contained: no script, no network, no font; charts are SVG in the page, and a content security policy forbids
the rest. Every section copes with tables that are not there yet and names the command that writes them. The page has
no clock and no path in it: equal workspaces give equal bytes. Measures nothing itself.
"""

import os
from collections.abc import Callable
from importlib import resources
from string import Template
from typing import Any

from ...corpus.store.catalog import open_catalog
from ...corpus.store.errors import RequestError
from ...corpus.store.fate import BEFORE, chain
from ...corpus.store.freshness import reasons
from ...corpus.store.shards import replacing
from ...corpus.store.workspace import Workspace
from .curation import ReportSource, Section, clusters, failures, funnel, samples, steps
from .models import comparison, mixture, on_target, predictions, training
from .settings import ReportSettings as ReportSettings
from .text import bits, count, escape, paragraph, percent, size, table

SPLITS = ("train", "heldout")
SECTIONS: tuple[Callable[[ReportSource], Section], ...] = (
    funnel,
    clusters,
    mixture,
    comparison,
    predictions,
    training,
    samples,
    failures,
)


def write_report(workspace: Workspace, settings: ReportSettings) -> dict[str, Any]:
    """Write the page, whole or not at all. Returns {stage, output, bytes, sections, not_run}.

    RequestError where the workspace does not exist or the output cannot be written.
    """
    output = settings.output or workspace.path("report.html")
    page, sections = render(workspace)
    try:
        with replacing(output) as scratch, open(scratch, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
    except OSError as error:
        raise RequestError(f"--output {output} cannot be written: {error}") from error
    return {
        "stage": "report",
        "output": output,
        "bytes": len(page.encode()),
        "sections": [section.key for section in sections if section.missing is None],
        "not_run": [section.key for section in sections if section.missing is not None],
        "stale": [table for tables, _, _ in outdated(workspace) for table in tables],
    }


def outdated(workspace: Workspace) -> list[tuple[list[str], list[str], str]]:
    """(tables, what changed since, the command that mends it) of each result that is not of what is there now."""
    commits = sorted(workspace.commits().items())
    return [(sorted(one.tables), why, one.command) for _, one in commits if (why := reasons(workspace, one))]


def said_of_outdated(workspace: Workspace) -> str:
    """Which figures of the page are of a corpus that is no more; nothing where all are of the one that is there."""
    told = [
        f"{', '.join(tables)}: made before {', '.join(why)} changed; run gristmill {command}"
        for tables, why, command in outdated(workspace)
    ]
    return paragraph(f"Not of the corpus as it is now: {'. '.join(told)}.", "verdict") if told else ""


def render(workspace: Workspace) -> tuple[str, list[Section]]:
    """The page and its sections."""
    finished = {table.name: table.finished("report") for table in workspace.tables()}
    if BEFORE in finished:
        chain(workspace, "report")  # figures of a chain that does not fit together would contradict each other
    with open_catalog(workspace) as connection:
        connection.execute("create temp table counted as from funnel")  # the one query that reads every text
        source = ReportSource(workspace, finished, connection)
        sections = [*(section(source) for section in SECTIONS), tables(source)]
        overview = tiles(source)
    page = Template(resources.files(__name__.rpartition(".")[0]).joinpath("page.html").read_text("utf-8"))
    return (
        page.substitute(
            title=f"{escape(source.name)} · gristmill report",
            heading=escape(source.name),
            lead="<p>What came in, what was kept, what it was mixed into, and what a model made of it.</p>"
            + said_of_outdated(workspace),
            contents="".join(map(_link, sections)),
            tiles=overview,
            sections="\n".join(map(_placed, sections)),
            footer="Written by gristmill. Every number can be asked for again: "
            f"<code>gristmill sql --workspace {escape(source.name)}</code>",
        ),
        sections,
    )


def _link(section: Section) -> str:
    kind = ' class="absent"' if section.missing else ""
    return f'<li><a href="#{section.key}"{kind}>{escape(section.title)}</a></li>'


def _placed(section: Section) -> str:
    body = section.body
    if section.missing is not None:
        body = f'<p class="absent">Not run: <code>{escape(section.missing)}</code></p>'
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>{body}</section>'


def tiles(source: ReportSource) -> str:
    """The figures that a reader looks for first."""
    shown: list[tuple[str, str, str]] = []
    if source.has("documents"):
        whole, each = steps(source)
        start, end = whole[0], whole[-1]
        shown.append(("extracted", count(start.kept), f"{size(start.kept_bytes)}, {len(each)} domains"))
        shown.append(("kept", count(end.kept), f"{percent(end.kept, start.kept)}, {size(end.kept_bytes)}"))
        duplicates = sum(step.dropped for step in whole if step.stage == "dedup")
        if source.has("decisions/dedup"):
            shown.append(("duplicates", count(duplicates), f"{percent(duplicates, start.kept)} of the extracted"))
        failed = source.rows("select count(*) from failures")[0][0]
        shown.append(("failures", count(failed), "inputs not processed"))
    tokens = [manifest for name, manifest in source.manifests.items() if name.startswith("tokens/")]
    if tokens:
        train, held = (sum(manifest.counts.get(f"{split}_tokens", 0) for manifest in tokens) for split in SPLITS)
        shown.append(("training tokens", count(train), f"and {count(held)} held out"))
    target = on_target(source)
    if target is not None:
        gain = f"{target['gain']:+.3f} bits per byte against natural"
        shown.append(("fitted, on the target", bits(target["fitted"]), gain.replace("-", "−")))
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in shown
    )
    return f'<dl class="tiles">{cells}</dl>' if cells else ""


def tables(source: ReportSource) -> Section:
    """What lies in the workspace: each finished table with the stage, the settings and the bytes that made it."""
    rows = [
        (
            name,
            manifest.stage,
            manifest.settings_fingerprint[:12],
            count(len(manifest.shards)),
            count(sum(shard.rows for shard in manifest.shards)),
            size(sum(shard.bytes for shard in manifest.shards)),
        )
        for name, manifest in sorted(source.manifests.items())
    ]
    if not rows:
        return Section("tables", "Tables", missing=f"gristmill extract INPUT --workspace {source.name}")
    header = ("table", "stage", "settings", "shards", "rows", "bytes")
    return Section("tables", "Tables", table(header, rows, words=3, most=200))


def describe(result: dict[str, Any]) -> str:
    """The result in one or two lines."""
    line = f"report: {os.path.relpath(result['output']) if '://' not in result['output'] else result['output']}"
    if result["not_run"]:
        line += f"; no table yet for {', '.join(result['not_run'])}"
    if result["stale"]:
        line += f"; not of the corpus as it is now, and the page says so: {', '.join(result['stale'])}"
    return line + "\n"
