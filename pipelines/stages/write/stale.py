"""Places that `write` and exporters wrote to and that hold what the workspace does not: documents removed since."""

import shlex

from ....corpus.exported import stale_exports
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
    found = stale_exports(workspace)
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
        found[asked.output] = " ".join(
            ("gristmill write", *map(shlex.quote, words(asked)), "--workspace", workspace.url)
        )
    return found


def words(asked: WriteSettings) -> list[str]:
    """The arguments of the command that asks for these settings."""
    told = [asked.output, "--format", asked.format]
    for name, field in WriteSettings.model_fields.items():
        value = getattr(asked, name)
        if name in ("output", "format") or value == field.default:
            continue
        option = f"--{name.replace('_', '-')}"
        told += [option] if value is True else [w for one in (value if isinstance(value, tuple) else (value,))
                                                for w in (option, str(one))]  # fmt: skip
    return told
