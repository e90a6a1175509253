"""Train: a recipe and the token shards in, a run folder with checkpoints, metrics and a run card out.

The one stage that is not a Beam graph: a step needs the step before it, so there is nothing to spread over workers.
Several GPUs are several ranks of the same command under torchrun. With `online` a policy moves the shares while the
model trains, from the recipe's, and the run card holds their path. Refuses a recipe whose tokenizer or shards are not
those of the workspace, unless forced, and `online` beside what needs shares that stay.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import checksum, fingerprint
from ....corpus.store.workspace import Workspace
from ....mixing.online import policy_of
from ....mixing.recipe import Recipe, load_recipe, other_tokens
from ....training import checkpoint
from ....training.data.loader import Loader, Phase
from ....training.data.online import Online, stretches
from ....training.data.round_trip import check_round_trip
from ....training.data.shards import TokenDomain, TokenFacts, demand_fresh, domains, open_tokens
from ....training.data.tokenizer import load_tokenizer
from ....training.evaluation import HeldOut, held_out_rows
from ....training.loggers.samples import Sampler, sampler_of
from ....training.loop import Probe, pretrain
from ....training.run_folder import CHECKPOINTS, RUNS
from ....training.targets import load_target, score
from ....training.transformer import PLAIN, ReadingMode, Transformer, size
from .measured import as_asked
from .model_places import read_file
from .phases import Changes, arranged, check_caps, plan_phases, with_quality
from .settings import Shape as Shape
from .settings import TrainSettings as TrainSettings


def run_name(name: str) -> str:
    """The name of a run, once it is that of a folder in `runs/` and leads nowhere else. Raises RequestError."""
    if not name.strip() or name.startswith(".") or "/" in name or "\0" in name or len(name.encode()) > 240:
        raise RequestError(
            f"{name[:60]!r} cannot be the name of a run: a folder in runs/ bears it; give another by --name"
        )
    return name


def train(
    workspace: Workspace, settings: TrainSettings, resume: bool = False, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Train to the end of the recipe, from wherever the run stands. Returns the run card."""
    path = settings.recipe or workspace.path("mixture", "recipe.yaml")
    recipe = load_recipe(path)
    if not workspace.is_local:
        raise RequestError(f"{workspace.url}: training maps tokens and writes checkpoints on a local disk")
    folder = workspace.path(RUNS, run_name(settings.name or recipe.name))
    if resume and not checkpoint.steps(f"{folder}/{CHECKPOINTS}"):
        raise RequestError(f"--resume: {folder} has no checkpoint to go on from; leave --resume out to start")
    pool = {name: open_tokens(workspace, name) for name in domains(workspace)}
    if not pool:
        raise RequestError(f"{workspace.url} has no token shards; run: gristmill tokenize --workspace {workspace.url}")
    if not force:
        demand_fresh(workspace, "train")
        check_recipe(recipe, pool, path, settings)
    if settings.subset is not None and settings.subset.best is not None:
        pool = with_quality(workspace, pool, settings.subset)
    available = {name: domain.tokens for name, domain in pool.items()}
    total = settings.tokens or recipe.total_tokens
    phases = plan_phases(recipe, total, available, settings)
    steps = round(total / settings.batch_tokens)
    if steps < 1:
        raise RequestError(
            f"a run of {total:,} tokens is less than half a step of {settings.batch_tokens:,}, and would read a whole "
            f"one; use a smaller --batch-tokens"
        )
    if settings.online is None:  # shares that move keep the caps as they go
        check_caps(recipe, phases, steps * settings.batch_tokens, available)
    loader, online = data_of(recipe, settings, pool, phases, total)
    longest = max(phase.seq_len for phase in phases)
    facts = next(iter(pool.values())).facts
    model, start = first_weights(settings, facts, longest)
    weights = loss_weights(recipe, settings, loader.names)
    loop = settings.loop.model_copy(update={"loss_weights": weights})
    prints = {
        "tokenizer": facts.tokenizer,
        "model": fingerprint(vars(model.config)),
        "start": start,
        **({"online": settings.online.model_dump_json()} if settings.online else {}),
    }
    reading = ReadingMode(loop.document_mask, phases[-1].metadata)
    measured = held_out(workspace, pool, settings.evaluation_tokens, longest, reading)
    scores = probe(workspace, settings.targets, settings.target_items, facts, longest)
    writes = sampler(workspace, settings, facts, longest)
    if loop.evaluate_every and not measured and scores is None and writes is None:
        raise RequestError(
            f"loop.evaluate_every asks for measures every {loop.evaluate_every} steps, and no text is held out and no "
            f"target given: run gristmill tokenize with --heldout, or name targets"
        )
    card = pretrain(model, loader, loop, folder, measured, prints, force, quiet, scores, online, writes)
    files = [checksum(target) for target in settings.targets]
    return as_asked(folder, card, measured, scores, [*files, settings.target_items] if files else [])


def data_of(
    recipe: Recipe, settings: TrainSettings, pool: Mapping[str, TokenDomain], phases: Sequence[Phase], total: int
) -> tuple[Loader, Online | None]:
    """The loader of a run, and what moves its shares where that was asked for."""
    asked, batch = settings.online, settings.batch_tokens
    if asked is None:
        return Loader(pool, phases, total, batch, settings.seed), None
    if settings.subset is not None:
        raise RequestError("online: the parts of a subset follow from shares that stay; leave subset or online out")
    if settings.loop.teacher is not None:
        raise RequestError("online: losses on a teacher's soft labels end when its part does; leave one of them out")
    steps = max(1, round(total / batch))
    names = [name for name, share in phases[0].shares.items() if share > 0]
    every = asked.stride(steps, batch // max(phase.seq_len for phase in phases), len(names))
    loader = Loader(pool, stretches(phases, steps, batch, every), total, batch, settings.seed, planned=0)
    caps = {name: domain.max_epochs for name, domain in recipe.domains.items()}
    epochs = {name: min(caps.get(name) or math.inf, settings.max_epochs or math.inf) for name in loader.names}
    shares = np.array([loader.phases[0].shares[name] for name in loader.names])
    policy = policy_of(asked, shares / shares.sum(), steps * batch)
    return loader, Online(loader, policy, {name: cap * pool[name].tokens for name, cap in epochs.items()})


def loss_weights(recipe: Recipe, settings: TrainSettings, read: Sequence[str]) -> dict[str, float]:
    """Factors of the loss, by domain: the recipe's, and over them those asked for. Refuses a name that is no domain of
    the run, and factors of 0 for all that it reads."""
    for name in settings.loop.loss_weights:
        if name not in recipe.domains and name not in read:
            raise unknown_name("domain", name, read, "loop.loss_weights")
    weights = {name: domain.loss_weight for name, domain in recipe.domains.items() if domain.loss_weight != 1.0}
    weights |= settings.loop.loss_weights
    if not any(weights.get(name, 1.0) for name in read):
        raise RequestError(f"the loss weights of {', '.join(read)} are all 0, so that the run would learn nothing")
    return weights


def first_weights(settings: TrainSettings, facts: TokenFacts, longest: int) -> tuple[Transformer, str]:
    """The model that the run starts from, and what says so: the seed, or the hash of the branch's weights."""
    changes = settings.shape.model_dump(exclude_none=True)
    asked = size(settings.model or "1m", facts.vocab_size, longest, **changes)
    if settings.branch is None:
        return Transformer(asked, settings.seed), f"seed {settings.seed}"
    trained, state = checkpoint.load_model(settings.branch)
    tokenizer = state.get("fingerprints", {}).get("tokenizer", facts.tokenizer)
    if tokenizer != facts.tokenizer:
        raise RequestError(
            f"branch {settings.branch} reads tokenizer {tokenizer[:12]}…, these tokens are of {facts.tokenizer[:12]}…; "
            f"run: gristmill tokenize --tokenizer with that run's tokenizer.json"
        )
    own = replace(trained.config, max_len=longest)
    if (settings.model or changes) and own != asked:
        raise RequestError(f"branch {settings.branch} has another shape: {own}; leave out `model` and `shape`")
    model = Transformer(own, settings.seed)
    model.load_state_dict(trained.state_dict())
    return model, checksum(f"{checkpoint.newest(settings.branch)}/{checkpoint.MODEL}")


def probe(workspace: Workspace, targets: Sequence[str], items: int, facts: TokenFacts, length: int) -> Probe | None:
    """What scores the target tasks in these files; None where there are none."""
    if not targets:
        return None
    path = workspace.table("tokenizer").shard_url("tokenizer.json")
    text = read_file(path).decode()
    tokenizer = load_tokenizer(text, path)
    loaded = [load_target(target, items) for target in targets]
    names = [target.name for target in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"two target files are named {', '.join(twice)}, and scores are told by name; rename one")
    check_round_trip(text, tokenizer, {target.name: target.texts() for target in loaded}, path)
    return lambda model: {target.name: score(model, target, tokenizer, facts, length) for target in loaded}


def sampler(workspace: Workspace, settings: TrainSettings, facts: TokenFacts, length: int) -> Sampler | None:
    """What lets the model write; None where that was not asked for."""
    if settings.samples is None:
        return None
    if settings.loop.parallel == "fsdp":
        raise RequestError(
            "samples: under fsdp the weights lie on several ranks; leave samples out, and let the checkpoints write "
            "afterwards: gristmill checkpoints sample RUN --keep"
        )
    path = workspace.table("tokenizer").shard_url("tokenizer.json")
    return sampler_of(settings.samples, load_tokenizer(read_file(path).decode(), path), facts.bos, facts.eos, length)


def held_out(
    workspace: Workspace, pool: Iterable[str], tokens: int, seq_len: int, reading: ReadingMode = PLAIN
) -> dict[str, HeldOut]:
    """What these domains of the workspace are measured by, those without held-out text left out."""
    found = {}
    for name in pool:
        domain = open_tokens(workspace, name, "heldout")
        if domain.bytes:
            found[name] = held_out_rows(domain, seq_len, tokens, reading)
    return found


def check_recipe(recipe: Recipe, pool: dict[str, TokenDomain], where: str, changes: Changes) -> None:
    """Refuse tokens that are not those the recipe was made for."""
    tokenizer = next(iter(pool.values())).facts.tokenizer
    stale = other_tokens(recipe, tokenizer, {name: domain.fingerprint for name, domain in pool.items()})
    if stale:
        raise RequestError(
            f"{where} was made for other tokens ({'; '.join(stale)}); make it anew (gristmill mix), or train on "
            f"these tokens all the same with --force"
        )
    wanted = {phase.metadata for phase in arranged(recipe, changes)} - {"none"}
    if wanted and not any(np.any(domain.metadata_tokens) for domain in pool.values()):
        kind = sorted(wanted)[0]
        raise RequestError(
            f"{where}: the run conditions on metadata, but the token shards have no prefixes; run: gristmill tokenize "
            f"--metadata {kind} --force"
        )


def runs(workspace: Workspace) -> list[str]:
    """Names of the runs of a local workspace, sorted."""
    folder = workspace.path(RUNS)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
