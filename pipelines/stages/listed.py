"""A list that all workers of a run read and that may be long: it lies in a file of the stage's unfinished work, whose
name bears its content, and travels as that name."""

import pickle
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from ...corpus.store.shards import filesystem, fingerprint, replacing
from ..engine.graph import folder_of
from ..engine.stage import Plan


def put_list(plan: Plan[Any], things: Sequence[Any]) -> str:
    """Write a list where workers find it. Returns the URL, for `list_at`; the end of the run removes it."""
    data = pickle.dumps(tuple(things))
    url = plan.workspace.path(folder_of(plan.stage), f"list-{fingerprint(data.hex())}.pickle")
    with replacing(url) as scratch, open(scratch, "wb") as file:
        file.write(data)
    return url


@lru_cache(maxsize=4)
def list_at(url: str) -> tuple[Any, ...]:
    """What `put_list` wrote."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        return pickle.loads(cast(bytes, file.read()))
