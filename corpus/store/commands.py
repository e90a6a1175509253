"""Which command makes a table, for messages that say what to run. A test holds it against the stages' records."""

WRITTEN_BY = {  # the first words of a table's name -> the command
    "bands": "dedup",
    "clusters": "tag",
    "columns": "extract",
    "compared": "dedup",
    "components": "dedup",
    "concepts": "balance",
    "contamination": "decontaminate",
    "contamination_audit": "decontaminate",
    "documents": "extract",
    "domains": "tag",
    "duplicates": "dedup",
    "edges": "dedup",
    "embeddings": "semantic",
    "failing_rules": "filter",
    "inputs": "extract",
    "labellers": "tag",
    "labels": "tag",
    "lineage": "rewrite",
    "matches": "balance",
    "mixture": "mix",
    "mixture/ladder": "mix ladder",
    "programs": "refine",
    "proxies": "score",
    "refiltered": "refilter",
    "removed": "opt-out",
    "repeats": "dedup",
    "rewrites": "rewrite",
    "runs": "train",
    "scores": "score",
    "semantic": "semantic",
    "shingles": "dedup",
    "signals": "filter",
    "signatures": "dedup",
    "synthetic": "rewrite",
    "tags": "tag",
    "tokenizer": "tokenize",
    "groups": "tokenize",
    "tokens": "tokenize",
    "unexamined": "dedup",
    "written": "write",
}
BY_STAGE = ("decisions", "edits", "failures")  # their tables bear the name of the stage


def command_for(table: str) -> str:
    """The words after `gristmill` that make a table; the table's own last name where it is a plug-in's."""
    parts = table.strip("/").split("/")
    if parts[0] in BY_STAGE and len(parts) > 1:
        return parts[1]
    for length in range(len(parts), 0, -1):
        found = WRITTEN_BY.get("/".join(parts[:length]))
        if found is not None:
            return found
    return parts[-1]
