"""The disk that a re-run needs: what it makes anew lies beside what is in force until it is committed.

Says so beforehand, in one line, where that is much. Refuses where the disk has clearly not the room.
"""

import shutil
import sys
from collections.abc import Iterable

from ...corpus.store.commits import Commit
from ...corpus.store.errors import WorkspaceError
from ...corpus.store.lists.shards import facts_of
from ...corpus.store.workspace import Workspace

SAID = 1 << 30  # bytes from which on it is said
CLEARLY = 0.5  # a new result that has less than this share of the bytes of the old one is not to be expected


def say_room(workspace: Workspace, command: str, anew: Iterable[tuple[Commit | None, float]], quiet: bool) -> int:
    """Bytes that a re-run needs, by what is in force and the share of it that is made anew.

    WorkspaceError where the disk has less than `CLEARLY` of that.
    """
    needed = round(sum(share * bytes_of(held) for held, share in anew if held is not None))
    if not workspace.is_local or not needed:
        return needed
    free = shutil.disk_usage(workspace.url).free
    told = f"{command} needs about {gigabytes(needed)} beside what is in force until it is done"
    if free < CLEARLY * needed:
        raise WorkspaceError(
            f"{told}, and {gigabytes(free)} are free where {workspace.url} lies; make room, or remove the table first"
        )
    if not quiet and (needed >= SAID or free < 2 * needed):
        sys.stderr.write(f"{told}; {gigabytes(free)} are free\n")
    return needed


def bytes_of(commit: Commit) -> int:
    """Bytes of all files of a commit."""
    return sum(size for table in commit.tables.values() for _, _, size in facts_of(table.shards))


def gigabytes(count: int) -> str:
    """`1.5 GB`."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
