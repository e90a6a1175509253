"""CoLoR-Filter end to end: a prior trained on a sample of the corpus, and from it a conditional trained on the target.

Both are ordinary fleets of one model; the conditional starts from the prior's weights with a fresh optimiser and a
lower rate, as its authors do (Brandfonbrener et al. 2024). Their sizes are 150M parameters and 3.1B tokens; what is
needed is only that both are the same shape and that the prior has seen text like all of the corpus. Scoring costs more
than training as soon as the corpus is larger than the sample, and both grow with the square of the width.

Refuses a sample or a target with less than one row of tokens.
"""

import json
from collections.abc import Callable
from functools import partial

import numpy as np

from ...corpus.store.errors import RequestError
from ...training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer
from ...training.transformer import Transformer
from ..fleets.fleet import FleetSettings, train_fleet
from ..fleets.pool import DomainPool, TokenPool
from ..model_files import ProxyModel
from ..settings import ColorSettings as ColorSettings
from .sampling import Samples, Tell, silent


def fit_color(
    samples: Samples, settings: ColorSettings, seed: int, tokenizer: str | None = None, tell: Tell = silent
) -> dict[str, bytes]:
    """The artefacts of a ScorePair("prior", "conditional"). All targets together are one target here.

    tell  is told now and then how far the work has come
    """
    wanted = [text for texts in samples.targets.values() for text in texts]
    if not wanted:
        raise RequestError("CoLoR-Filter needs a --target")
    tokenizer = tokenizer or train_tokenizer(samples.random, settings.vocab_size)
    shape = settings.prior
    prior_pool, seen = _pool("the sample of the corpus", samples.random, tokenizer, shape.seq_len)
    target_pool, seen_too = _pool("the target", wanted, tokenizer, shape.seq_len)
    prior = _trained(prior_pool, shape, seed, None, partial(_told, tell, "prior"))
    steps = round(settings.conditional_passes * target_pool.tokens[0] / (shape.sequences * shape.seq_len))
    changes = {
        "steps": max(1, min(settings.conditional_steps, steps)),
        "lr": settings.conditional_lr,
        "warmup": min(shape.warmup, max(1, steps // 5)),
        "evaluations": 1,
    }
    conditional = _trained(
        target_pool, shape.model_copy(update=changes), seed, prior, partial(_told, tell, "conditional")
    )
    hashed = token_facts(tokenizer).tokenizer
    names = ["prior", "conditional"]
    told = {"names": names, "chunk_tokens": shape.seq_len, "details": settings.details}
    return {
        "pair.json": json.dumps(told).encode(),
        "tokenizer.json": tokenizer.encode(),
        "prior.safetensors": ProxyModel(prior, hashed, seen).to_bytes(),
        "conditional.safetensors": ProxyModel(conditional, hashed, seen + seen_too).to_bytes(),
    }


def _pool(what: str, texts: list[str], tokenizer: str, seq_len: int) -> tuple[TokenPool, np.ndarray]:
    """One domain of all texts, without a held-out set; and how often each token occurs in it."""
    facts = token_facts(tokenizer)
    documents = encode(load_tokenizer(tokenizer), facts, texts, [""] * len(texts))
    tokens = np.concatenate([np.zeros(0, facts.dtype), *documents])
    if len(tokens) <= seq_len:
        raise RequestError(f"{what} has {len(tokens)} tokens, a row of training needs {seq_len + 1}; give more of it")
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    pool = TokenPool((DomainPool("sample", tokens, offsets),), (), facts.vocab_size, facts.bos)
    return pool, np.bincount(tokens, minlength=facts.vocab_size).astype(np.int64)


def _told(tell: Tell, model: str, step: int, steps: int) -> None:
    tell(f"training the {model}, step {step} of {steps}")


def _trained(
    pool: TokenPool, settings: FleetSettings, seed: int, start: Transformer | None, after: Callable[[int, int], None]
) -> Transformer:
    states = None if start is None else [start.state_dict()]
    result = train_fleet(pool, np.ones((1, 1)), settings, [seed], start_from=states, keep_weights=True, after=after)
    if not result.alive[0]:
        raise RequestError(f"the model diverged at step {result.stopped[0]} with lr {settings.lr}; lower it")
    assert result.weights is not None
    model = Transformer(settings.config(pool.vocab_size))
    model.load_state_dict(result.weights[0])
    return model
