"""Who asked to be left out: a list of ids, URLs and hosts, and which documents it covers.

One entry a line, `#` begins a comment. 32 hex digits are a document's id; an entry with a scheme or a slash is a URL,
which covers that address and everything below it where it ends in `/`; anything else is a host, which covers its
sub-domains. Matching ignores the scheme, a leading `www.` and upper case of hosts.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import RequestError
from .shards import filesystem, replacing
from .workspace import Workspace

PLACE = "plans/optout.json"
ID = re.compile(r"[0-9a-f]{32}")
HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)+")


@dataclass(frozen=True)
class OptOut:
    """A list that was read. `covers` names the entry that covers a document."""

    ids: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()  # without scheme and www
    folders: tuple[str, ...] = ()  # those that end in a slash

    def __bool__(self) -> bool:
        return bool(self.ids or self.hosts or self.urls or self.folders)

    def covers(self, document: str, url: str | None) -> str | None:
        """The entry that covers a document, None where none does."""
        if document in self.ids:
            return document
        bare = plain(url) if url else None
        if bare is None:
            return None
        if bare in self.urls:
            return bare
        host = bare.split("/")[0].split(":")[0]
        parts = host.split(".")
        for cut in range(len(parts)):
            if (name := ".".join(parts[cut:])) in self.hosts:
                return name
        return next((folder for folder in self.folders if bare.startswith(folder)), None)

    def entries(self) -> list[str]:
        return sorted({*self.ids, *self.hosts, *self.urls, *self.folders})


def plain(url: str) -> str | None:
    """A URL without scheme, `www.`, fragment, and upper case of its host; None for what is none."""
    try:
        parts = urlsplit(url if "://" in url else "//" + url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if not host:
        return None
    return host + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def parse(lines: Iterable[str], where: str) -> OptOut:
    """The list; a RequestError names the first line that is neither id, URL nor host."""
    ids, hosts, urls, folders = set(), set(), set(), set()
    for number, line in enumerate(lines, 1):
        entry = line.split("#")[0].strip() if not line.strip().startswith("http") else line.strip()
        if not entry:
            continue
        if ID.fullmatch(entry.lower()):
            ids.add(entry.lower())
        elif "/" in entry and (bare := plain(entry)):
            (folders if entry.endswith("/") and bare.count("/") > 1 else urls).add(bare)
            if entry.endswith("/"):
                urls.add(bare)
        elif HOST.fullmatch(entry.lower()):
            hosts.add(entry.lower().removeprefix("www."))
        else:
            raise RequestError(f"{where}, line {number}: {entry!r} is neither an id, a URL nor a host")
    return OptOut(frozenset(ids), frozenset(hosts), frozenset(urls), tuple(sorted(folders)))


def read_optout(workspace: Workspace) -> OptOut:
    """The entries that the workspace honours."""
    fs, path = filesystem(workspace.path(PLACE))
    if not fs.exists(path):
        return OptOut()
    with fs.open(path, "rb") as file:
        kept = json.loads(file.read())
    return OptOut(
        frozenset(kept["ids"]), frozenset(kept["hosts"]), frozenset(kept["urls"]), tuple(sorted(kept["folders"]))
    )


def add_optout(workspace: Workspace, more: OptOut) -> OptOut:
    """The workspace's list with these entries added to it, written down. Entries are never taken back."""
    old = read_optout(workspace)
    whole = OptOut(
        old.ids | more.ids, old.hosts | more.hosts, old.urls | more.urls, tuple(sorted({*old.folders, *more.folders}))
    )
    held = {name: sorted(getattr(whole, name)) for name in ("ids", "hosts", "urls", "folders")}
    with replacing(workspace.path(PLACE)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps(held, indent=1, sort_keys=True) + "\n")
    return whole
