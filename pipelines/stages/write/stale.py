"""Places that `write` wrote to and that hold what the workspace does not: documents that were removed since."""

from ....corpus.store.calls import asked_again
from ....corpus.store.errors import WorkspaceError
from ....corpus.store.workspace import Workspace
from .settings import WriteSettings

WRITTEN = "written/"


def stale_places(workspace: Workspace) -> dict[str, str]:
    """Place -> the command that brings it up to date, for those that were written from other documents than there are.

    A place that is gone, as far as it can be looked for, holds nothing and is left out.
    """
    documents = workspace.table("documents").manifest()
    now = {f"documents/{shard.name}": shard.content for shard in documents.shards} if documents is not None else {}
    found = {}
    for table in workspace.tables():
        commit = workspace.commit_of(table.name) if table.name.startswith(WRITTEN) else None
        if commit is None:
            continue
        before = {name: content for made in commit.work.values() for name, content in made.made_from.items()}
        if all(now.get(name) == content for name, content in before.items() if name.startswith("documents/")):
            continue
        try:
            asked = asked_again(commit.call, WriteSettings, workspace.url)
        except WorkspaceError:
            continue  # the folder is not there any more
        found[asked.output] = f"gristmill write {asked.output} --format {asked.format} --workspace {workspace.url}"
    return found
