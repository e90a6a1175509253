"""What a request means in documents: those that sites reserve, and those that are near to a text.

Refuses unknown signals, agents that are no product token, and a text that `given_files` cannot read.
"""

from collections.abc import Sequence
from typing import Any

from ...corpus.given_files import read_given
from ...corpus.reservations.records import read_sites
from ...corpus.reservations.robots import AGENTS, tokens_of
from ...corpus.reservations.sites import ASKED, SIGNALS
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.workspace import Workspace
from .log import keyed, secret
from .near import near_copies
from .reserved import by_language, reserved

Found = tuple[dict[str, str], list[dict[str, Any]]]  # id -> why; what is told of the whole


def found_by_signals(
    workspace: Workspace, places: Sequence[str], agents: str | None, signals: str | None, then: bool
) -> Found:
    """Documents that sites reserve, and by language what falls of documents and tokens."""
    names = [name.strip() for name in agents.split(",")] if agents is not None else list(AGENTS)
    if not names or len(tokens_of(names)) < len(names):
        raise RequestError(f"--agents {agents}: a product token has letters, `-` and `_`, such as GPTBot or CCBot")
    kinds = [kind.strip() for kind in signals.split(",")] if signals is not None else list(ASKED)
    for kind in kinds:
        if kind not in SIGNALS:
            raise unknown_name("signal", kind, SIGNALS, "--signals")
    found = reserved(workspace, read_sites(list(places)), names, kinds, then)
    return found, by_language(workspace, found)


def found_by_text(workspace: Workspace, files: Sequence[str], similarity: float, make: bool = False) -> Found:
    """Documents near to the texts of these files; what names a text in the log is its keyed hash, by
    the workspace's key, which is made where `make` is given and there is none."""
    texts = {}
    for file in files:
        texts[file] = read_given(file, f"--text {file}")
    found = near_copies(workspace, texts, similarity)
    key = secret(workspace, make) or bytes(32)  # of a dry run that has none, the hash is told nowhere
    why: dict[str, str] = {}
    for one in found:
        named = keyed(key, "request", texts[one.named].encode()).hex()
        why.setdefault(one.id, f"text {named}: jaccard {one.jaccard}, containment {one.containment}")
    told = [
        {"id": one.id, "url": one.url, "text": one.named, "jaccard": one.jaccard, "containment": one.containment}
        for one in found
    ]
    return why, told
