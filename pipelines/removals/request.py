"""A request to be left out, from end to end: what falls, what had read it, the log, and the removal itself.

The line of the log is written before the first document goes, so that a removal that was killed is on record; the same
call completes it and adds no second line. Refuses a request that names nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.removals import OptOut
from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from ...dedup.growth import among
from ..engine.leases import writing
from ..engine.runner import RunnerOptions
from ..stages.opt_out import children_of, opt_out
from .log import Hashes, append, entries, hashed, keyed, secret
from .pieces import known_by
from .trained import trained_on


def covered(workspace: Workspace, asked: OptOut, why: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """id -> {url, language, entry} of every document that falls, those included that were rewritten from others."""
    workspace.table("documents").finished("opt-out")
    named = pa.array(sorted(why), pa.string())
    told: dict[str, dict[str, Any]] = {}
    for batch in workspace.table("documents").read(["id", "url", "language"]):
        own = asked.covering(batch["id"], batch["url"])
        own |= dict.fromkeys(pc.indices_nonzero(pc.is_in(batch["id"], value_set=named)).to_pylist(), "")
        places = sorted(own)
        for place, row in zip(places, batch.take(pa.array(places, pa.int64())).to_pylist(), strict=True):
            told[row.pop("id")] = row | {"entry": why.get(batch["id"][place].as_py(), own[place])}
    children = children_of(workspace, dict(why) | {id: row["entry"] for id, row in told.items()})
    wanted = pa.array(sorted(children.keys() - told.keys()), pa.string())
    for batch in workspace.table("documents").read(["id", "url", "language"]) if len(wanted) else ():
        for row in batch.filter(pc.is_in(batch["id"], value_set=wanted)).to_pylist():
            told[row["id"]] = {"url": row["url"], "language": row["language"], "entry": children[row["id"]]}
    return told


def remove_on_request(
    workspace: Workspace,
    asked: OptOut,
    kind: str,
    options: RunnerOptions,
    why: Mapping[str, str] | None = None,
    quiet: bool = False,
    rebuild: bool = True,
    refit: bool = False,
    sign: str | None = None,
) -> dict[str, Any]:
    """Honour a request: the summary of `opt_out`, with `log` (the line that was added, if any) and `trained`.

    kind  list, robots or text
    why   id -> why it falls, of documents that were found otherwise than by the list
    sign  a private SSH key that signs the head of the log
    """
    reasons = dict(why or {})
    line = None
    if sign is not None and not workspace.is_local:
        raise RequestError(f"--sign: {workspace.url} is on a store; the log of removals is kept on local disks alone")
    trained: list[dict[str, Any]] = []
    if workspace.is_local:
        falling = covered(workspace, asked, reasons)
        with writing(workspace, "opt-out"):
            if falling and not _logged(workspace, falling):
                trained = trained_on(workspace, falling)
                line = append(
                    workspace,
                    _line(workspace, kind, falling, trained),
                    _hashes(workspace, asked, falling, reasons, kind),
                    sign,
                )
    summary = opt_out(workspace, asked, options, quiet=quiet, rebuild=rebuild, why=reasons, refit=refit)
    return summary | {"log": line, "trained": trained}


def _logged(workspace: Workspace, falling: Mapping[str, Any]) -> bool:
    """Whether the log has every one of these documents already: an earlier call was killed."""
    key = secret(workspace)
    if key is None or not entries(workspace):
        return False
    known = hashed(workspace, ("id",))["id"]
    return all(keyed(key, "id", id.encode()) in known for id in falling)


def _line(workspace: Workspace, kind: str, falling: Mapping[str, Any], trained: list[dict[str, Any]]) -> dict[str, Any]:
    """What the log says of a removal in the clear."""
    fitted = [
        f"{name}/{shard.name} {shard.checksum}"
        for commit in workspace.commits().values()
        if commit.fitted
        for name, table in sorted(commit.tables.items())
        for shard in table.shards
    ]
    return {
        "kind": kind,
        "documents": len(falling),
        "of": workspace.table("documents").finished("opt-out").fingerprint,
        "trained": trained,
        "fitted": fitted,
    }


def _hashes(
    workspace: Workspace, asked: OptOut, falling: Mapping[str, Any], reasons: Mapping[str, str], kind: str
) -> Hashes:
    """Of the request, the ids and the texts. Where it names a text, all of that; where it names documents, what no
    other document says as well: the same words elsewhere are not what was asked for."""
    key = secret(workspace, make=True)
    assert key is not None
    hashes = Hashes(key)
    for entry in {*asked.entries(), *reasons.values()}:
        hashes.add("request", entry.encode())
    wanted = pa.array(sorted(falling), pa.string())
    for id in falling:
        hashes.add("id", id.encode())
    texts, pieces = _said(workspace, wanted)
    if kind != "text":
        texts, pieces = _alone(workspace, wanted, texts, pieces)
    for text in texts:
        hashes.add("text", text)
    for piece in pieces.tolist():
        hashes.add("piece", np.uint64(piece).tobytes())
    return hashes


def _said(workspace: Workspace, wanted: pa.Array) -> tuple[set[bytes], np.ndarray]:
    """Texts and pieces of the documents that fall; pieces ascend."""
    texts: set[bytes] = set()
    found = [np.zeros(0, np.uint64)]
    for batch in workspace.table("documents").read(["id", "text"]):
        own = batch.filter(pc.is_in(batch["id"], value_set=wanted))["text"]
        if len(own):
            whole, pieces = known_by(own)
            texts.update(whole)
            found.append(pieces)
    return texts, np.unique(np.concatenate(found))


def _alone(
    workspace: Workspace, wanted: pa.Array, texts: set[bytes], pieces: np.ndarray
) -> tuple[set[bytes], np.ndarray]:
    """Those of these texts and pieces that no other document says."""
    said = np.zeros(len(pieces), np.bool_)
    for batch in workspace.table("documents").read(["id", "text"]):
        own = batch.filter(pc.invert(pc.is_in(batch["id"], value_set=wanted)))["text"]
        if len(own):
            whole, others = known_by(own)
            texts -= set(whole)
            said |= among(np.unique(others[among(pieces, others)]), pieces)
    return texts, pieces[~said]
