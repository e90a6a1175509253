"""Is this made from what is there now? One answer for everyone who reads.

A commit says what it was made from: other tables as a whole (`inputs`), and, for stages that map shards, the shards
behind each work item. A result by document alone (signals, scores, tags, vectors) stays right for every document that
is left when another stage drops more, so decisions that changed behind it do not make it stale; what makes it stale
is another text, another artefact, and a document that it never saw. A fitted artefact stays in force until it is
fitted again.
"""

from .commits import Commit
from .workspace import Workspace

BY_DOCUMENT = ("signals/", "scores/", "tags", "embeddings", "labels")  # tables that are joined by id


def reasons(workspace: Workspace, commit: Commit) -> list[str]:
    """Names of what changed since a commit was made, sorted; empty where it is fresh."""
    if commit.fitted:
        return []
    found = {name for name, made in commit.inputs.items() if _now(workspace, name, made) != made}
    if commit.work:
        found |= _changed_shards(workspace, commit)
    return sorted(found)


def _now(workspace: Workspace, name: str, recorded: str) -> str | None:
    """The fingerprint of an input that is a table; of what lies elsewhere (`file:...`), what was recorded."""
    if ":" in name:
        return recorded
    manifest = workspace.table(name).manifest()
    return manifest.fingerprint if manifest is not None else None


def _changed_shards(workspace: Workspace, commit: Commit) -> set[str]:
    by_document = all(table.startswith(BY_DOCUMENT) for table in commit.tables)
    now: dict[str, dict[str, str]] = {}
    changed: set[str] = set()
    seen: set[str] = set()
    for made in commit.work.values():
        for place, content in made.made_from.items():
            if ":" in place:
                continue
            table, _, shard = place.rpartition("/")
            seen.add(table)
            if table in changed or (by_document and table.startswith("decisions/")):
                continue
            if table not in now:
                manifest = workspace.table(table).manifest()
                now[table] = {s.name: s.content for s in manifest.shards} if manifest else {}
            if now[table].get(shard) != content:
                changed.add(table)
    changed |= {table for table in seen - changed if _grown(workspace, commit, table)}
    return changed


def _grown(workspace: Workspace, commit: Commit, table: str) -> bool:
    """Whether a table has shards by now that no work item was made from."""
    if table != "documents":  # its shards go with those of documents
        return False
    manifest = workspace.table(table).manifest()
    known = {place.rpartition("/")[2] for made in commit.work.values() for place in made.made_from}
    own = "rewritten-" if commit.stage == "rewrite" else None  # adopted from its own result
    shards = [] if manifest is None else [s.name for s in manifest.shards if own is None or not s.name.startswith(own)]
    return any(name not in known for name in shards)
