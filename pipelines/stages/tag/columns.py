"""Tags as columns: their types, the labellers behind them, and the family `tag` that rules of the filter stage read.

A taxonomy whose labels are all whole numbers is a column of numbers, so that `quality_label >= 3` is a predicate.
The family `tag` is measured like any other signal, from documents/ by the labellers of the workspace: every document
has its tags whether or not it once reached the tag stage, and a decision from tags never makes the tags stale that it
was made from. Refuses to measure clusters, which may be of vectors that only survivors have.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.signals.families import Family
from ....proxy_models.rewriting.tagging import FastTextLabeller, Labeller, open_labeller
from ....proxy_models.rewriting.tagging_urls import url_tags
from ....proxy_models.rewriting.taxonomy import excerpt, load_taxonomies
from .settings import BUNDLED

FAMILY = "tag"


def learnt(workspace: Workspace) -> set[str]:
    """Taxonomies that the workspace has a labeller for."""
    manifest = workspace.table("labellers").manifest()
    return {shard.name.removesuffix(".parquet") for shard in manifest.shards} if manifest else set()


def numbered(
    workspace: Workspace, names: Iterable[str], models: Mapping[str, str], asked: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Those of the taxonomies whose labels are all whole numbers.

    asked  labels of the taxonomies that an engine is about to label; others are as they were learnt, or as bundled
    """
    labels = {name: tuple(taxonomy.labels) for name, taxonomy in load_taxonomies(BUNDLED).items()}
    made = workspace.table("labels").manifest()
    if made is not None and learnt(workspace):
        labels |= {name: tuple(told["labels"]) for name, told in made.settings["taxonomies"].items()}
    labels |= {name: tuple(told) for name, told in asked.items()}
    labels |= {name: FastTextLabeller(path).labels for name, path in models.items()}
    return tuple(sorted(name for name in {*BUNDLED, *names} if _whole(labels.get(name, ()))))


def _whole(labels: Sequence[str]) -> bool:
    return bool(labels) and all(label.isascii() and label.isdecimal() for label in labels)


def columns(taxonomies: Iterable[str], numbers: Iterable[str]) -> pa.Schema:
    """Schema of `tags/`: the bundled taxonomies are always there, null where nobody assigned them."""
    fields = [
        pa.field("id", pa.string(), nullable=False),
        ("registered_domain", pa.string()),
        ("suffix", pa.string()),
        ("path_words", pa.list_(pa.string())),
    ]
    for name in sorted({*BUNDLED, *taxonomies}):
        fields += [(name, pa.int64() if name in numbers else pa.string()), (f"{name}_confidence", pa.float32())]
    return pa.schema([*fields, ("cluster", pa.string()), ("assigned_by", pa.string())])


@lru_cache(maxsize=8)
def distilled(workspace: Workspace, name: str, fingerprint: str) -> tuple[Labeller, str]:
    """The workspace's labeller of a taxonomy and what kind it is; `fingerprint` tells one state of it from another."""
    row = one_row(workspace, "labellers", f"{name}.parquet")
    return open_labeller(row["kind"], row["labels"], row["model"]), row["kind"]


def one_row(workspace: Workspace, table: str, shard: str) -> dict[str, Any]:
    """The first row of a shard."""
    url = workspace.table(table).shard_url(shard)
    for batch in read_batches(url, rows=1):
        return batch.to_pylist()[0]
    raise RequestError(f"{url} holds no row")


# ---- the family


def tag_family(workspace: Workspace) -> Family:
    """The family `tag`: parts of the URL, and a label and its confidence for each taxonomy that has been learnt."""
    manifest = workspace.table("labellers").manifest()
    made = fingerprint([(shard.name, shard.content) for shard in manifest.shards]) if manifest else ""
    names = tuple(sorted(learnt(workspace)))
    numbers = numbered(workspace, names, {}, {})
    told = [(f"{name}:{'int64' if name in numbers else 'string'}", f"{name}_confidence") for name in names]
    measure = functools.partial(measure_tags, workspace=workspace, names=names, made=made)
    fields = ("registered_domain:string", "suffix:string", *(field for pair in told for field in pair))
    return Family(FAMILY, 1, fields, measure, "text", beside=("url",), made_with=made)


def measure_tags(
    text: pa.Array, url: pa.Array, workspace: Workspace, names: Sequence[str], made: str
) -> dict[str, pa.Array]:
    """Columns of the family for documents by their texts and URLs."""
    urls = [url_tags(told) for told in url.to_pylist()]
    found: dict[str, pa.Array] = {
        "registered_domain": pa.array([told.registered_domain for told in urls], pa.string()),
        "suffix": pa.array([told.suffix for told in urls], pa.string()),
    }
    texts = [excerpt(full or "") for full in text.to_pylist()]
    for name in names:
        labelled = distilled(workspace, name, made)[0].label(texts) if texts else []
        found[name] = pa.array([label or None for label, _ in labelled], pa.string())
        found[f"{name}_confidence"] = pa.array([confidence for _, confidence in labelled], pa.float64())
    return found
