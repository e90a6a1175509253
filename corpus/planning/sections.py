"""Which kind of source each input declares itself to be: `plans/sections.json`, source -> section.

A declaration decides nothing of what is extracted, so no fingerprint covers it. Refuses a source that is declared as
two kinds in one call; a later call's declaration replaces an earlier one.
"""

import json
from collections.abc import Mapping

from ..readers.inputs import Input, Source
from ..store.errors import RequestError
from ..store.shards import filesystem, replacing
from ..store.workspace import Workspace

PLACE = "plans/sections.json"


def declared(inputs: tuple[Input, ...], named: list[tuple[str, list[Source]]]) -> dict[str, str]:
    """source -> section of the inputs that declare one; `named` is what `resolved` gave for them."""
    found: dict[str, str] = {}
    paths = iter(named)
    for given in inputs:
        for _ in given.paths:
            for source in next(paths)[1]:
                if given.section is None:
                    continue
                if found.setdefault(source.source, given.section) != given.section:
                    raise RequestError(
                        f"source {source.source!r} is declared as {found[source.source]} and as {given.section}; "
                        f"give the inputs sources of their own"
                    )
    return found


def read_sections(workspace: Workspace) -> dict[str, str]:
    """What is declared so far."""
    fs, path = filesystem(workspace.path(PLACE))
    if not fs.exists(path):
        return {}
    with fs.open(path, "rb") as file:
        return dict(json.loads(file.read()))


def add_sections(workspace: Workspace, more: Mapping[str, str]) -> None:
    """Write down what is declared, beside and instead of what was."""
    held = read_sections(workspace)
    if {**held, **more} == held:
        return
    with replacing(workspace.path(PLACE)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps({**held, **more}, indent=1, sort_keys=True) + "\n")
