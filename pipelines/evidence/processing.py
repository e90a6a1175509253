"""What was done to the documents, as commits say it: rule sets, lists and models with their hashes, masks, removals.

Reads commits and figures alone. Refuses nothing.
"""

from collections.abc import Mapping
from typing import Any

from ...corpus.store.fate import deciding
from ...corpus.store.workspace import Workspace
from .figures import Figure

LOGGED = {  # why documents were removed -> in words
    "robots": "robots.txt (RFC 9309)",
    "content-signal": "Content-Signal",
    "content-usage": "Content-Usage",
    "ai.txt": "ai.txt",
    "tdm": "TDM reservations",
    "noai": "noai in pages and X-Robots-Tag",
    "noindex": "noindex in pages and X-Robots-Tag",
    "text": "texts that were named",
}


def honoured(workspace: Workspace, found: Mapping[str, Figure]) -> list[str]:
    """Sentences on the opt-outs that were honoured; none where there was none."""
    rows = found["removed"].table()
    if not rows:
        return []
    whole = sum(row["documents"] for row in rows)
    kinds = [f"{row['documents']:,} by {LOGGED[row['reason']]}" for row in rows if row["reason"] in LOGGED]
    rest = whole - sum(row["documents"] for row in rows if row["reason"] in LOGGED)
    kinds += [f"{rest:,} by ids, addresses and hosts of those who asked"] if rest else []
    return [f"{whole:,} documents were removed on request before training: {', '.join(kinds)}."]


def screened(workspace: Workspace) -> list[str]:
    """Sentences on what decided which documents stay, by stage."""
    said = []
    for stage in deciding(workspace):
        manifest = workspace.table(f"decisions/{stage}").finished("card")
        counts = manifest.counts
        rules = manifest.settings.get("rules")
        name = rules.get("name") if isinstance(rules, dict) else rules if isinstance(rules, str) else None
        by = f" by the rule set {name}" if name else ""
        said.append(f"{stage} dropped {counts.get('dropped', 0):,} of {counts.get('in', 0):,} documents{by}.")
    return said


def artefacts(workspace: Workspace) -> list[dict[str, Any]]:
    """Lists, models and other files that stages were given, and what was fitted: {stage, what, hash}."""
    found = []
    for stage, commit in sorted(workspace.commits().items()):
        for name, made in sorted(commit.inputs.items()):
            if ":" in name:
                found.append({"stage": stage, "what": name.partition(":")[2].rpartition("/")[2], "hash": made})
        if commit.fitted:
            for table, record in sorted(commit.tables.items()):
                found += [{"stage": stage, "what": f"{table}/{s.name}", "hash": s.checksum} for s in record.shards]
        if commit.call is not None:
            for place, content in sorted(commit.call.places.items()):
                if content:
                    found.append({"stage": stage, "what": place.rpartition("/")[2], "hash": content})
    return found
