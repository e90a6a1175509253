"""Prove that a workspace is whole: bytes, fingerprints, conservation, survivors.

Trusts nothing that a stage said of itself: checksums are recomputed, rows are counted again, and each stage's input
is compared with what the stage before it kept. Changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
from pydantic import BaseModel

from ..corpus.planning.identity import file_fingerprint, url_fingerprint
from ..corpus.planning.ledger import Ledger, read_ledger
from ..corpus.processors import kinds
from ..corpus.store.catalog import files, open_catalog
from ..corpus.store.commits import MANIFEST, Commit, is_named, manifest_bytes, told_apart
from ..corpus.store.fate import deciding
from ..corpus.store.freshness import reasons
from ..corpus.store.shards import checksum, filesystem
from ..corpus.store.soundness import FileDigest
from ..corpus.store.workspace import Workspace
from ..training.data.overlap import Overlap, held_out_overlap
from . import audit_shards
from .audit_runs import damaged_checkpoints
from .audit_tokens import other_tokens


class Finding(BaseModel, frozen=True):
    """One thing that is wrong: which check, where, and what was expected against what was found."""

    check: str
    where: str
    message: str


def audit(workspace: Workspace, targets: Sequence[str] = ()) -> dict[str, Any]:
    """Run every check. Returns {findings: [...], checked: {check: how many things were looked at}, notes: [line]}.

    A note is a line on what is no fault.

    targets  files of texts or items that models are to be measured on: how much of each is trained on is looked at
    """
    held, broken = told_apart(workspace.url)
    findings = [Finding(check="commit", where=stage, message=why) for stage, why in broken.items()]
    findings += found(audit_shards.damaged_shards(workspace, held))
    checked = {
        "shards": sum(len(table.shards) for commit in held.values() for table in commit.tables.values()),
        "tables": sum(len(commit.tables) for commit in held.values()),
    }
    if broken:  # what the chain is cannot be told
        findings += found(audit_shards.unfinished_work(workspace, held))
        return {"findings": [finding.model_dump() for finding in findings], "checked": checked, "notes": []}
    workspace.tables()  # refuses a workspace that is not there
    damaged = bool(findings)
    findings += found(audit_shards.lost_tables(workspace, held))
    ledger = read_ledger(workspace)
    checked["input files"] = len(ledger.files)
    findings += changed_inputs(ledger)
    findings += stale_results(workspace)
    findings += false_manifests(workspace)
    findings += found(audit_shards.strays(workspace, held))
    findings += found(audit_shards.unfinished_work(workspace, held))
    findings += found(damaged_checkpoints(workspace))
    if not damaged:  # counting rows of damaged shards would only repeat the finding
        findings += rows_counted(workspace, held, checked)
        findings += targets_trained_on(workspace, targets, checked)
    notes = list(several_processors(held))
    return {"findings": [finding.model_dump() for finding in findings], "checked": checked, "notes": notes}


def several_processors(held: dict[str, Commit]) -> Iterator[str]:
    """Tables whose values models computed on processors of several kinds."""
    for commit in held.values():
        for name, table in commit.tables.items():
            found = kinds(table.counts)
            most = table.details.get("between_processors")
            if len(found) > 1 and most != 0:
                told = "; ".join(f"{number:,} shards on {kind}" for kind, number in sorted(found.items()))
                apart = f"by up to {most:g}" if most is not None else "in their last digits"
                yield f"{name} was computed on processors of {len(found)} kinds ({told}): values may differ {apart}"


def found(told: Iterator[audit_shards.Found]) -> list[Finding]:
    return [Finding(check=check, where=where, message=message) for check, where, message in told]


def rows_counted(workspace: Workspace, held: dict[str, Commit], checked: dict[str, int]) -> list[Finding]:
    """The checks that read rows; notes in `checked` what was looked at."""
    findings = found(audit_shards.repeated_and_foreign_ids(workspace, held))
    findings += found(audit_shards.contradictory_decisions(workspace, held))
    with open_catalog(workspace, stale=True, damaged=True) as connection:
        stages = deciding(workspace)
        checked["deciding stages"] = len(stages)
        findings += unconserved(workspace, connection, stages)
        findings += unaccounted_extraction(workspace, connection)
        findings += unaccounted_inputs(workspace, connection)
        findings += repeated_ids(connection)
        checked["clusters"] = one(connection, "select count(distinct cluster) from duplicates")
        findings += survivors(connection)
        findings += found(audit_shards.contradictory_duplicates(workspace, held, connection))
    if not any(finding.check in ("lost", "fingerprint") for finding in [*findings, *stale_results(workspace)]):
        findings += found(other_tokens(workspace, held))
    if workspace.is_local:
        overlaps = held_out_overlap(workspace)
        checked["held-out documents"] = sum(one.documents for one in overlaps.values())
        checked["held-out documents nearly in training text"] = sum(one.nearly for one in overlaps.values())
        findings += leaks(overlaps)
    return findings


def leaks(found: dict[str, Overlap]) -> Iterator[Finding]:
    """Domains whose held-out documents are trained on word for word."""
    for domain, one in found.items():
        if one.exactly:
            message = (
                f"{one.exactly} of {one.documents} held-out documents stand in training text as well, {one.nearly} at "
                f"least nearly; run: gristmill dedup, then gristmill tokenize --force"
            )
            yield Finding(check="held out", where=f"tokens/{domain}", message=message)


def targets_trained_on(workspace: Workspace, targets: Sequence[str], checked: dict[str, int]) -> Iterator[Finding]:
    """Target files of which items stand in training text, word for word or nearly."""
    if not targets or not workspace.is_local:
        return
    from ..mixing.target_files import trained_on

    found = trained_on(workspace, {path: path for path in targets})
    checked["items of targets"] = sum(one.documents for one in found.values())
    for path, one in found.items():
        if one.nearly:
            message = (
                f"{one.nearly} of {one.documents} items stand in training text at least nearly, {one.exactly} of them "
                f"as whole documents; run: gristmill decontaminate {path}, then the stages after it"
            )
            yield Finding(check="target", where=path, message=message)


def stale_results(workspace: Workspace) -> Iterator[Finding]:
    """Results that were made from something else than what is there now, or from what is gone."""
    for commit in workspace.commits().values():
        for name in reasons(workspace, commit):
            message = f"made from another {name}/ than the one that is there; run: gristmill {commit.command}"
            yield Finding(check="fingerprint", where=", ".join(sorted(commit.tables)), message=message)


def false_manifests(workspace: Workspace) -> Iterator[Finding]:
    """Manifests, and copies under plain names, that are not what the commit says that they follow from.

    Stages read commits alone; whoever opens a folder by hand reads these.
    """
    for commit in workspace.commits().values():
        for name, table in commit.tables.items():
            files = {MANIFEST: FileDigest(manifest_bytes(commit, name)).hex()}
            files |= {shard.name: shard.checksum for shard in table.shards if is_named(name, shard)}
            for file, expected in files.items():
                url = f"{workspace.url}/{name}/{file}"
                fs, path = filesystem(url)
                if not fs.exists(path) or checksum(url) != expected:
                    state = "is not what the commit says" if fs.exists(path) else "is missing"
                    message = f"{file} {state}; the next gristmill {commit.command} writes it anew"
                    yield Finding(check="manifest", where=name, message=message)


def unconserved(workspace: Workspace, connection: duckdb.DuckDBPyConnection, stages: list[str]) -> Iterator[Finding]:
    """Stages whose rows are not exactly the documents that the stage before kept, or whose counts do not add up."""
    before = "select id from documents"
    for stage in stages:
        name = f"decisions/{stage}"
        source = files(workspace, name)
        manifest = workspace.table(name).finished("audit")
        if source is None:
            if one(connection, f"select count(*) from ({before})"):
                yield Finding(check="conservation", where=name, message="documents came in, no decision was recorded")
            return
        connection.execute(f"create or replace temp view entered as {before}")
        lost = one(connection, f"select count(*) from entered anti join {source} using (id)")
        invented = one(connection, f"select count(*) from {source} anti join entered using (id)")
        repeated = one(connection, f"select count(*) - count(distinct id) from {source}")
        for count, what in (
            (lost, "without a decision"),
            (invented, "decided but never in"),
            (repeated, "decided twice"),
        ):
            if count:
                yield Finding(check="conservation", where=name, message=f"{count} documents {what}")
        counts = manifest.counts
        kept = one(connection, f"select count(*) from {source} where kept")
        dropped = one(connection, f"select count(*) from {source} where not kept")
        told = (counts.get("in"), counts.get("kept"), counts.get("dropped"), counts.get("failed", 0))
        if told != (kept + dropped + told[3], kept, dropped, told[3]):
            message = (
                f"the manifest says in, kept, dropped, failed = {told}; the rows say kept {kept}, dropped {dropped}"
            )
            yield Finding(check="conservation", where=name, message=message)
        before = f"select id from {source} where kept"


def unaccounted_extraction(workspace: Workspace, connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """`in = kept + failed` of the extraction, with both sides counted again from the tables."""
    manifest = workspace.table("documents").manifest()
    if manifest is None:
        return
    counts = manifest.counts
    documents = one(connection, "select count(*) from documents")
    source = files(workspace, "failures/extract")
    failures = one(connection, f"select count(*) from {source}") if source else 0
    told = (counts.get("in", 0), counts.get("kept", 0), counts.get("dropped", 0), counts.get("failed", 0))
    if told != (documents + told[2] + failures, documents, told[2], failures):
        message = (
            f"the manifest says in, kept, dropped, failed = {told}; found {documents} documents, {failures} failures"
        )
        yield Finding(check="conservation", where="documents", message=message)


def changed_inputs(ledger: Ledger) -> Iterator[Finding]:
    """Input files that are gone, or have other bytes than those that were read; path lists' are not opened."""
    for file in ledger.files:
        if not file.place or file.kept or not file.size or file.seen == url_fingerprint(file.place):
            continue  # nothing is known of where it lies, or of what it held
        try:
            seen, size = file_fingerprint(file.place)
        except FileNotFoundError:
            yield Finding(
                check="inputs", where=file.place, message="the input file is gone: its documents cannot be made anew"
            )
            continue
        if seen != file.seen:
            message = f"the input file was changed after it was read: {size} bytes now, {file.size} then"
            yield Finding(check="inputs", where=file.place, message=message)


def unaccounted_inputs(workspace: Workspace, connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Input files whose account in `inputs/` does not cover the plan, or is not what the tables hold of them."""
    source = files(workspace, "inputs")
    if source is None:
        return
    planned = {(p.path, p.file, p.start, p.end) for lot in read_ledger(workspace).lots for p in lot.pieces}
    rows = connection.execute(f'select path, file, start, "end", records, gaps, ignored, "in" from {source}').fetchall()
    told = {row[:4] for row in rows}
    for path, file, start, end in sorted(planned ^ told, key=str):
        what = "was planned and never read" if (path, file, start, end) in planned else "was read and never planned"
        yield Finding(
            check="inputs", where=path, message=f"bytes {start} to {'the end' if end is None else end}: {what}"
        )
    for path, _, start, _, records, gaps, ignored, entered in rows:
        if records + gaps != ignored + entered:
            message = (
                f"{records} records and {gaps} gaps from byte {start}, but {ignored} ignored and {entered} taken in"
            )
            yield Finding(check="inputs", where=path, message=message)
    failed = files(workspace, "failures/extract")
    failures = (
        f"select origin.file as file, count(*) as n from {failed} group by all"
        if failed
        else ("select null::varchar as file, 0 as n where false")
    )
    apart = connection.execute(
        f"""select path, kept, coalesce(d.n, 0), failed, coalesce(f.n, 0)
        from (select path, file, sum(kept) as kept, sum(failed) as failed from {source} group by all)
        left join (select origin.file as file, count(*) as n from documents group by all) d using (file)
        left join ({failures}) f using (file)
        where kept <> coalesce(d.n, 0) or failed <> coalesce(f.n, 0) order by path limit 20"""
    ).fetchall()
    for path, kept, documents, failing, failures_there in apart:
        message = (
            f"the account says {kept} documents and {failing} failures; there are {documents} and {failures_there}"
        )
        yield Finding(check="inputs", where=path, message=message)


def repeated_ids(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Ids that more than one document bears."""
    repeated = one(connection, "select count(*) - count(distinct id) from documents")
    if repeated:
        yield Finding(check="ids", where="documents", message=f"{repeated} documents bear the id of another one")


def survivors(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Clusters that do not have exactly one survivor, and members that point at something else than their survivor."""
    rows = connection.execute(
        "select cluster, count(*) filter (survivor) as alive from duplicates group by cluster "
        "having alive <> 1 and not (alive = 0 and bool_and(method = 'against')) "  # the survivor is elsewhere
        "order by cluster limit 20"
    ).fetchall()
    for cluster, count in rows:
        yield Finding(check="survivors", where="duplicates", message=f"cluster {cluster} has {count} survivors")
    astray = one(
        connection,
        "select count(*) from duplicates d join (select cluster, id from duplicates where survivor) s using (cluster) "
        "where not d.survivor and d.duplicate_of is distinct from s.id and d.method <> 'against'",
    )
    if astray:
        yield Finding(check="survivors", where="duplicates", message=f"{astray} duplicates do not name their survivor")


def one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The single number that a query returns."""
    row = connection.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0
