"""Every scoring method behind one interface: fitted once to samples, then a column `score` for each document.

Fitting gives artefacts (names and bytes), opening them gives a `Scorer`; scoring is a pure function of the text, so a
shard can be scored anywhere and any time. In every method a larger `score` is better. Add a method here, with its
settings in `ScoreSettings`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from ...corpus.extensions import added
from ...corpus.store.errors import RequestError
from ..model_files import read_model
from ..settings import METHODS
from ..settings import ScoreSettings as ScoreSettings
from .color import fit_color
from .dsir import fit_dsir, open_dsir
from .embeddings import fit_rds, open_rds
from .pair import fit_pair, open_pair
from .sampling import Samples, Tell, silent
from .transport import fit_transport, open_transport
from .zipfit import fit_zipfit, open_zipfit


class Scorer(Protocol):
    """Scores texts. `schema` begins with id and holds score."""

    @property
    def schema(self) -> pa.Schema: ...

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]: ...


SAMPLED = ("color", "dsir", "transport")  # these are fitted to a sample of the corpus too
TOKENIZED = ("pair", "perplexity", "rds", "transport")  # these cannot do without the tokenizer of their models


@dataclass(frozen=True)
class ScoringMethod:
    """A method of another package or a plug-in file.

    fit       (samples, settings, text of a tokenizer.json or None) -> artefacts, names and bytes
    open      artefacts -> the scorer
    targeted  it needs a target; sampled: it is fitted to a sample of the corpus too
    """

    fit: Callable[[Samples, ScoreSettings, str | None], dict[str, bytes]]
    open: Callable[[Mapping[str, bytes]], Scorer]
    targeted: bool = True
    sampled: bool = False


def foreign_methods() -> dict[str, ScoringMethod]:
    """Methods of other packages and plug-in files, by name."""
    return added("scores", METHODS)


def needs_sample(method: str) -> bool:
    """Whether a method is fitted to a sample of the corpus, beside its targets."""
    foreign = foreign_methods().get(method)
    return foreign.sampled if foreign is not None else method in SAMPLED


def fit(settings: ScoreSettings, samples: Samples, tokenizer: str | None, tell: Tell = silent) -> dict[str, bytes]:
    """The artefacts of a method. `tokenizer`: text of a tokenizer.json, None where the method makes its own."""
    foreign = foreign_methods().get(settings.method)
    if foreign is not None:
        if foreign.targeted and not settings.targets:
            raise RequestError(f"score {settings.method} needs a --target: a domain's name, or a file of texts")
        return foreign.fit(samples, settings, tokenizer)
    if settings.method in TOKENIZED and tokenizer is None:
        raise RequestError(f"score {settings.method} needs the tokenizer of its models: give --tokenizer")
    text = tokenizer or ""
    models = {name: read_model(path, name) for name, path in settings.models.items()}
    one = next(iter(models.values()), b"")
    fits: dict[str, Callable[[], dict[str, bytes]]] = {
        "color": lambda: fit_color(samples, settings.color, settings.seed, tokenizer, tell),
        "pair": lambda: fit_pair(text, models, settings.chunk_tokens, settings.details),
        "perplexity": lambda: fit_pair(text, models, settings.chunk_tokens, settings.details),
        "dsir": lambda: fit_dsir(samples),
        "zipfit": lambda: fit_zipfit(samples, settings.zipfit),
        "rds": lambda: fit_rds(samples, text, one, settings.queries),
        "transport": lambda: fit_transport(samples, text, one, settings.queries, settings.regularization),
    }
    return fits[settings.method]()


def open_scorer(method: str, artefacts: Mapping[str, bytes]) -> Scorer:
    """The scorer that `fit` left the parts of."""
    foreign = foreign_methods().get(method)
    if foreign is not None:
        return foreign.open(artefacts)
    openers: dict[str, Callable[[Mapping[str, bytes]], Scorer]] = {
        "color": open_pair,
        "pair": open_pair,
        "perplexity": open_pair,
        "dsir": open_dsir,
        "zipfit": open_zipfit,
        "rds": open_rds,
        "transport": open_transport,
    }
    return openers[method](artefacts)
