"""From a recipe's phases to the loader's: caps on repetition, replay of an earlier recipe, subsets of domains.

Continual pre-training is a run that starts from a checkpoint (`branch`), re-warms its rate (the schedule), replays some
of the old mixture (Ibrahim et al. 2024, arXiv 2403.08763: 5 % for a weak shift, 25-50 % for a strong one) and, against
the stability gap (Guo et al. 2024, arXiv 2406.14833), passes several times over a subset instead of once over all,
takes the best documents for it, or stays close to the old mixture: a replay of half or more.

Refuses a score that is not there, and a subset of a domain that the phases do not name.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, model_validator

from ..corpus.refusal import RequestError, unknown_name
from ..corpus.shards import read_batches
from ..corpus.workspace import Workspace
from ..mixing.recipe import Recipe, load_recipe
from ..training.loader import Phase
from ..training.repetition import fill_in
from ..training.shards import TokenDomain, document_ids
from .columns import stored_schema


class Subset(BaseModel, frozen=True, extra="forbid"):
    """Which parts of domains a run reads, again and again, instead of all of each once.

    shares    domain -> share of its tokens
    epochs    domain -> passes: the part is what the phases' tokens go over so many times
    best      TABLE.COLUMN below scores/: the documents that it puts first; rows at random without it
    smallest  the smallest scores are the best
    phases    their numbers, from 1; none: all
    """

    shares: dict[str, float] = {}
    epochs: dict[str, float] = {}
    best: str | None = None
    smallest: bool = False
    phases: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> "Subset":
        both = sorted(self.shares.keys() & self.epochs.keys())
        if both:
            raise ValueError(f"give {', '.join(both)} a share or a number of epochs, not both")
        if any(not 0 < share <= 1 for share in self.shares.values()):
            raise ValueError("shares must lie in (0, 1]")
        if any(epochs < 1 for epochs in self.epochs.values()):
            raise ValueError("epochs must be at least 1")
        return self


class Replay(BaseModel, frozen=True, extra="forbid"):
    """Tokens of the mixture that the model was trained on before, a share of every phase."""

    recipe: str  # the recipe.yaml of that run; its domains must have tokens in this workspace
    share: float = Field(default=0.05, gt=0, lt=1)


def plan_phases(
    recipe: Recipe,
    total: int,
    available: Mapping[str, int],
    packing: str = "concat",
    curriculum: str = "natural",
    max_epochs: float | None = None,
    subset: Subset | None = None,
    replay: Replay | None = None,
) -> list[Phase]:
    """The recipe's phases in the loader's terms.

    total       tokens of the run
    available   domain -> tokens of its train split
    max_epochs  shares are cut where a domain would be repeated more, and the others fill in
    """
    shares = [{name: share for name, share in phase.shares.items() if share > 0} for phase in recipe.phases]
    if replay is not None:
        before = _whole(load_recipe(replay.recipe))
        shares = [_mixed(own, before, replay.share) for own in shares]
    if max_epochs is not None:  # the loader refuses a domain that is not there
        shares = [own if own.keys() - available.keys() else fill_in(own, available, total, max_epochs)
                  for own in shares]  # fmt: skip
    parts = _parts(subset, recipe, shares, total, available)
    return [
        Phase(
            phase.until,
            own,
            phase.seq_len,
            packing,
            metadata=phase.metadata != "none",
            subset={name: part for name, part in parts[number].items() if own.get(name, 0.0) > 0},
            best=bool(subset and subset.best and parts[number]),
            curriculum=curriculum,
        )
        for number, (phase, own) in enumerate(zip(recipe.phases, shares, strict=True))
    ]


def _whole(recipe: Recipe) -> dict[str, float]:
    """Shares of the whole run."""
    found: dict[str, float] = {}
    begin = 0.0
    for phase in recipe.phases:
        for name, share in phase.shares.items():
            found[name] = found.get(name, 0.0) + share * (phase.until - begin)
        begin = phase.until
    return {name: share for name, share in found.items() if share > 0}


def _mixed(own: Mapping[str, float], before: Mapping[str, float], share: float) -> dict[str, float]:
    return {name: (1 - share) * own.get(name, 0.0) + share * before.get(name, 0.0)
            for name in sorted({*own, *before})}  # fmt: skip


def _parts(
    subset: Subset | None, recipe: Recipe, shares: list[dict[str, float]], total: int, available: Mapping[str, int]
) -> list[dict[str, float]]:
    """For each phase: domain -> share of its tokens that is used."""
    if subset is None:
        return [{} for _ in shares]
    chosen = [not subset.phases or number in subset.phases for number in range(1, len(shares) + 1)]
    if not any(chosen):
        raise RequestError(f"subset: phases {list(subset.phases)} are not there; the recipe has {len(shares)}")
    drawn: dict[str, float] = {}
    begin = 0.0
    for phase, own, used in zip(recipe.phases, shares, chosen, strict=True):
        for name, share in own.items() if used else ():
            drawn[name] = drawn.get(name, 0.0) + share * (phase.until - begin) * total
        begin = phase.until
    for name in (*subset.shares, *subset.epochs):
        if name not in drawn:
            raise unknown_name("domain", name, drawn, "the subset")
    parts = subset.shares | {
        name: min(1.0, drawn[name] / (epochs * available[name]))
        for name, epochs in subset.epochs.items()
        if name in available
    }
    return [parts if used else {} for used in chosen]


def with_quality(workspace: Workspace, pool: Mapping[str, TokenDomain], subset: Subset) -> dict[str, TokenDomain]:
    """The domains of a subset with the score of each document; one without a score comes last."""
    table, _, column = (subset.best or "").partition(".")
    name, column = f"scores/{table}", column or "score"
    manifest = workspace.table(name).manifest()
    if manifest is None:
        known = [found.name.removeprefix("scores/") for found in workspace.tables() if found.name.startswith("scores/")]
        raise unknown_name("score", table, known, "subset: best")
    schema = stored_schema(workspace, manifest)
    if schema is not None and column not in schema.names:
        raise unknown_name("column", column, schema.names, f"subset: {name}")
    sign = -1.0 if subset.smallest else 1.0
    found = [
        pa.table({"id": batch["id"], "quality": batch[column].cast(pa.float64())})
        for shard in manifest.shards
        for batch in read_batches(workspace.table(name).shard_url(shard.name), ["id", column])
    ]
    scores = (
        pa.concat_tables(found)
        if found
        else pa.table({"id": pa.array([], pa.string()), "quality": pa.array([], pa.float64())})
    )
    values = scores["quality"].to_numpy()
    wanted = {*subset.shares, *subset.epochs}
    made = dict(pool)
    for domain in sorted(wanted & pool.keys()):
        place = pc.index_in(document_ids(workspace, domain), value_set=scores["id"].combine_chunks())
        known = place.is_valid().to_numpy(zero_copy_only=False)
        quality = np.full(len(known), -np.inf)
        quality[known] = sign * values[place.drop_null().to_numpy()]
        made[domain] = replace(pool[domain], quality=np.where(np.isnan(quality), -np.inf, quality))
    return made
