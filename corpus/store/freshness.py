"""Is this made from what is there now? One answer for everyone who reads.

A commit says what it was made from: other tables as a whole (`inputs`), and, for stages that map shards, the shards
behind each work item. A result by document alone (signals, scores, tags, vectors) stays right for every document that
is left when another stage drops more, so decisions that changed behind it do not make it stale; what makes it stale
is another text, another artefact, and a document that it never saw. What follows from all decisions (decisions further
down the chain, tokens, written files) is stale too where a stage has decided, edited or regrouped for the first time
behind it. A fitted artefact stays in force until it is fitted again.
"""

import pyarrow as pa

from .. import arrow_functions as pc
from .commits import Commit
from .lists.shards import ShardList
from .lists.work import WorkList, changed_tables
from .workspace import Workspace

BEFORE = "documents"  # its shards go with the work items of stages that read it
BY_DOCUMENT = ("signals/", "scores/", "tags", "embeddings", "labels")  # tables that are joined by id
OF_THE_CHAIN = ("tokens/", "written/")  # tables that follow from the whole chain, whichever stages it has
DECISIONS, EDITS, REGROUPED = "decisions/", "edits/", "domains"  # what the chain consists of


def reasons(workspace: Workspace, commit: Commit) -> list[str]:
    """Names of what changed since a commit was made, sorted; empty where it is fresh."""
    if commit.fitted:
        return []
    found = {name for name, made in commit.inputs.items() if _now(workspace, name, made) != made}
    if commit.work:
        found |= _changed_shards(workspace, commit)
    return sorted(found | _new_links(workspace, commit))


def _now(workspace: Workspace, name: str, recorded: str) -> str | None:
    """The fingerprint of an input that is a table; of what lies elsewhere (`file:...`), what was recorded."""
    if ":" in name:
        return recorded
    manifest = workspace.table(name).manifest()
    return manifest.fingerprint if manifest is not None else None


def _changed_shards(workspace: Workspace, commit: Commit) -> set[str]:
    by_document = all(table.startswith(BY_DOCUMENT) for table in commit.tables)

    def skipped(table: str) -> bool:
        return by_document and table.startswith("decisions/")

    if isinstance(commit.work, WorkList):
        changed = changed_tables(commit.work, lambda table: _contents(workspace, table), skipped)
        return changed | ({BEFORE} if BEFORE not in changed and _grown_list(workspace, commit, commit.work) else set())
    now: dict[str, dict[str, str]] = {}
    changed = set()
    known: set[str] = set()  # shards of documents
    for made in commit.work.values():
        for place, content in made.made_from.items():
            if ":" in place:
                continue
            table, _, shard = place.rpartition("/")
            if table == BEFORE:
                known.add(shard)
            if table in changed or skipped(table):
                continue
            if table not in now:
                manifest = workspace.table(table).manifest()
                now[table] = {s.name: s.content for s in manifest.shards} if manifest else {}
            if now[table].get(shard) != content:
                changed.add(table)
    if (
        known
        and BEFORE not in changed
        and any(not _adopted(commit, name) and name not in known for name in now[BEFORE])
    ):
        changed.add(BEFORE)
    return changed


def _new_links(workspace: Workspace, commit: Commit) -> set[str]:
    """Tables of the chain that say something of documents which this result took as they were without it."""
    decides = any(table.startswith(DECISIONS) for table in commit.tables)
    if not decides and not (commit.tables and all(table.startswith(OF_THE_CHAIN) for table in commit.tables)):
        return set()
    links = {
        table: made.shards
        for other in workspace.commits().values()
        for table, made in other.tables.items()
        if other.stage != commit.stage
        and (
            (table == REGROUPED and not decides)
            or (table.startswith((DECISIONS, EDITS)) and (not decides or table.partition("/")[2] in commit.after))
        )
    }  # fmt: skip
    if BEFORE in commit.inputs:
        return {table for table in links if table not in commit.inputs}
    work = commit.work
    if isinstance(work, WorkList):
        return {table for table, shards in links.items() if _unseen_in_list(work, table, ShardList.of(shards))}
    seen = {place for made in work.values() for place in made.made_from}
    return {
        table
        for table, shards in links.items()
        if any(
            f"{BEFORE}/{shard.name}" in seen and f"{table}/{shard.name}" not in seen
            for shard in shards
            if shard.rows or not table.startswith(EDITS)  # an edit of nothing changes nothing
        )
    }


def _unseen_in_list(work: WorkList, table: str, shards: ShardList) -> bool:
    """Whether a table has shards that no work item was made from, though the documents of that name were."""
    there = shards.table.select(["name", "rows"])
    if table.startswith(EDITS):
        there = there.filter(pc.greater(there["rows"], 0))
    told, own = (pc.is_in(there["name"], value_set=_recorded(work, of)) for of in (BEFORE, table))
    return bool(pc.any(pc.and_not(told, own)).as_py())


def _recorded(work: WorkList, table: str) -> pa.Array:
    """Names of the shards of a table that work items were made from."""
    listed = [names for of, names, _ in work.tables() if of == table]
    apart = [place.rpartition("/") for place, _ in work.others()]
    return pa.concat_arrays([*listed, pa.array([shard for of, _, shard in apart if of == table], pa.string())])


def _contents(workspace: Workspace, table: str) -> pa.Table | None:
    """Names and contents of a table's shards, None where there is no such table."""
    manifest = workspace.table(table).manifest()
    return None if manifest is None else ShardList.of(manifest.shards).table.select(["name", "content"])


def _grown_list(workspace: Workspace, commit: Commit, work: WorkList) -> bool:
    """Whether documents/ has shards by now that no work item was made from."""
    now = _contents(workspace, BEFORE)
    known = _recorded(work, BEFORE)
    if now is None or not len(known):
        return False
    new = now["name"].filter(pc.invert(pc.is_in(now["name"], value_set=known)))
    return any(not _adopted(commit, name) for name in new.to_pylist())


def _adopted(commit: Commit, name: str) -> bool:
    """Whether a shard of documents holds what was adopted of this very result."""
    return commit.stage == "rewrite" and name.startswith("rewritten-")
