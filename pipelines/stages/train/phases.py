"""From a recipe's phases to the loader's: conditioning, upsampling, caps on repetition, replay, subsets of domains.

Metadata conditioning reads documents behind a prefix and ends the run on plain ones (Gao et al. 2025, arXiv 2501.01956,
which calls it MeCo: the last 10 %); upsampling gives domains a larger share of the last part of the run. Both cut the
recipe's phases and change nothing else of the run: one model, one schedule.

Continual pre-training is a run that starts from a checkpoint (`branch`), re-warms its rate (the schedule), replays some
of the old mixture (Ibrahim et al. 2024, arXiv 2403.08763: 5 % for a weak shift, 25-50 % for a strong one) and, against
the stability gap (Guo et al. 2024, arXiv 2406.14833), passes several times over a subset instead of once over all,
takes the best documents for it, or stays close to the old mixture: a replay of half or more.

Refuses a score that is not there, a subset of a domain that the phases do not name, and conditioning twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import read_batches
from ....corpus.store.workspace import Workspace
from ....mixing.recipe import Recipe, RecipePhase, load_recipe
from ....training.data.loader import Phase
from ....training.data.repetition import fill_in_phases
from ....training.data.shards import TokenDomain, document_ids
from ..columns import stored_schema
from .settings import Changes as Changes
from .settings import Conditioning as Conditioning
from .settings import Replay as Replay
from .settings import Subset as Subset
from .settings import Upsample as Upsample

CAP_TOLERANCE = 0.02  # shares and totals are rounded to rows and batches


def plan_phases(recipe: Recipe, total: int, available: Mapping[str, int], changes: Changes) -> list[Phase]:
    """The recipe's phases in the loader's terms.

    total      tokens of the run
    available  domain -> tokens of its train split
    """
    phases = arranged(recipe, changes)
    subset, replay, max_epochs = changes.subset, changes.replay, changes.max_epochs
    shares = [{name: share for name, share in phase.shares.items() if share > 0} for phase in phases]
    if replay is not None:
        before = _whole(load_recipe(replay.recipe))
        shares = [_mixed(own, before, replay.share) for own in shares]
    if max_epochs is not None and not {name for own in shares for name in own} - available.keys():
        begins = [0.0, *(phase.until for phase in phases)]  # the loader refuses a domain that is not there
        spans = [phase.until - begin for begin, phase in zip(begins, phases, strict=False)]
        shares = fill_in_phases(list(zip(spans, shares, strict=True)), available, total, max_epochs)
    parts = _parts(subset, phases, shares, total, available)
    return [
        Phase(
            phase.until,
            own,
            phase.seq_len,
            changes.packing,
            metadata=phase.metadata != "none",
            subset={name: part for name, part in parts[number].items() if own.get(name, 0.0) > 0},
            best=bool(subset and subset.best and parts[number]),
            curriculum=changes.curriculum,
        )
        for number, (phase, own) in enumerate(zip(phases, shares, strict=True))
    ]


def check_caps(recipe: Recipe, phases: Sequence[Phase], total: int, available: Mapping[str, int]) -> None:
    """RequestError where a domain is read more often in a run of `total` tokens than its `max_epochs` in the recipe."""
    drawn: dict[str, float] = {}
    begin = 0.0
    for phase in phases:
        for name, share in phase.shares.items():
            drawn[name] = drawn.get(name, 0.0) + share * (phase.until - begin) * total
        begin = phase.until
    for name, tokens in drawn.items():
        cap = recipe.domains[name].max_epochs if name in recipe.domains else None
        if cap is None or not available.get(name):
            continue  # the loader refuses a domain that has no tokens
        epochs = tokens / available[name]
        if epochs > cap * (1 + CAP_TOLERANCE):
            raise RequestError(
                f"{name}: a run of {total} tokens reads it {epochs:.4g} times, the recipe caps it at {cap:.4g} epochs; "
                f"give fewer --tokens or another share, or --max-epochs {cap:.4g}, which fills in from other domains"
            )


def arranged(recipe: Recipe, changes: Changes) -> list[RecipePhase]:
    """The phases of the recipe, cut where a subset ends, cut and changed by conditioning and upsampling."""
    phases = list(recipe.phases) if changes.subset is None else _cut(recipe.phases, changes.subset.until)
    if changes.upsample is not None:
        phases = _cut(phases, 1.0 - changes.upsample.last)
        phases = [_upsampled(phase, changes.upsample) if phase.until > 1.0 - changes.upsample.last else phase
                  for phase in phases]  # fmt: skip
    if changes.conditioning is not None:
        if any(phase.metadata != "none" for phase in phases):
            raise RequestError("conditioning: the recipe's own phases say which of them read metadata; leave one out")
        end = 1.0 - changes.conditioning.cooldown
        phases = [phase.model_copy(update={"metadata": changes.conditioning.metadata}) if phase.until <= end else phase
                  for phase in _cut(phases, end)]  # fmt: skip
    return phases


def _cut(phases: Sequence[RecipePhase], at: float) -> list[RecipePhase]:
    """The same phases, none of which goes on across `at`."""
    ends = [0.0, *(phase.until for phase in phases)]
    cut = []
    for begin, phase in zip(ends, phases, strict=False):
        if begin < at < phase.until:
            cut.append(phase.model_copy(update={"until": at}))
        cut.append(phase)
    return cut


def _upsampled(phase: RecipePhase, upsample: Upsample) -> RecipePhase:
    others = {name: share for name, share in phase.shares.items() if name not in upsample.shares and share > 0}
    room, weight = 1.0 - sum(upsample.shares.values()), sum(others.values())
    if room > 1e-9 and not others:
        raise RequestError("upsample: the named domains are all there are in that part, so their shares must sum to 1")
    rest = {name: share / weight * max(room, 0.0) for name, share in others.items()}
    return phase.model_copy(update={"shares": rest | upsample.shares})


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
    subset: Subset | None,
    phases: Sequence[RecipePhase],
    shares: list[dict[str, float]],
    total: int,
    available: Mapping[str, int],
) -> list[dict[str, float]]:
    """For each phase: domain -> share of its tokens that is used."""
    if subset is None:
        return [{} for _ in shares]
    chosen = [(not subset.phases or number in subset.phases) and phase.until <= subset.until
              for number, phase in enumerate(phases, 1)]  # fmt: skip
    if not any(chosen):
        raise RequestError(f"subset: phases {list(subset.phases)} are not there; there are {len(shares)}")
    drawn: dict[str, float] = {}
    begin = 0.0
    for phase, own, used in zip(phases, shares, chosen, strict=True):
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
