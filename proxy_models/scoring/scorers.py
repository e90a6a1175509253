"""Every scoring method behind one interface: fitted once to samples, then a column `score` for each document.

Fitting gives artefacts (names and bytes), opening them gives a `Scorer`; scoring is a pure function of the text, so a
shard can be scored anywhere and any time. In every method a larger `score` is better. Add a method here, with its
settings in `ScoreSettings`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import pyarrow as pa
from pydantic import BaseModel, Field

from ...corpus.store.calls import File, Folder
from ...corpus.store.errors import RequestError
from ..model_files import read_model
from .color import ColorSettings, fit_color
from .dsir import fit_dsir, open_dsir
from .embeddings import fit_rds, open_rds
from .pair import fit_pair, open_pair
from .sampling import Samples, Tell, silent
from .transport import fit_transport, open_transport
from .zipfit import ZipfitSettings, fit_zipfit, open_zipfit


class Scorer(Protocol):
    """Scores texts. `schema` begins with id and holds score."""

    @property
    def schema(self) -> pa.Schema: ...

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]: ...


class ScoreSettings(BaseModel, frozen=True, extra="forbid"):
    """What to score with, and for what.

    name       of the table scores/<name>; the method's own where None
    targets    names of domains, or files of texts
    models     name -> file, checkpoint or run; of a pair the first minus the second is the score
    tokenizer  a tokenizer.json; None: the workspace's where there is one, else one that is trained on the sample
    """

    method: Literal["color", "pair", "perplexity", "dsir", "zipfit", "rds", "transport"]
    name: str | None = Field(default=None, pattern="^[a-z][a-z0-9_]*$")
    targets: tuple[File, ...] = ()
    models: dict[str, Folder] = {}
    tokenizer: File | None = None
    seed: int = 0
    sample_bytes: int = Field(default=8_000_000, ge=1)  # of the random sample
    target_bytes: int = Field(default=2_000_000, ge=1)  # of each target
    chunk_tokens: int | None = Field(default=None, ge=2)  # of a pair; None: 512, or what its models can read
    details: bool = False  # of a pair: learnability, Min-K%++ and DC-PDD too
    queries: int = Field(default=256, ge=1)  # documents of each target that embeddings are compared with
    regularization: float = Field(default=0.05, gt=0)  # of the transport, relative to the mean cost
    color: ColorSettings = ColorSettings()
    zipfit: ZipfitSettings = ZipfitSettings()

    @property
    def table(self) -> str:
        return self.name or self.method

    def checked(self) -> "ScoreSettings":
        """Itself; a RequestError where the method lacks something it needs."""
        if self.method in TARGETED and not self.targets:
            raise RequestError(f"score {self.method} needs a --target: a domain's name, or a file of texts")
        wanted = {"pair": 2, "perplexity": 1, "rds": 1, "transport": 1}.get(self.method, 0)
        if len(self.models) != wanted:
            raise RequestError(f"score {self.method} takes {wanted} --model NAME=FILE, got {len(self.models)}")
        return self


TARGETED = ("color", "dsir", "zipfit", "rds", "transport")
SAMPLED = ("color", "dsir", "transport")  # these are fitted to a sample of the corpus too
TOKENIZED = ("pair", "perplexity", "rds", "transport")  # these cannot do without the tokenizer of their models


def fit(settings: ScoreSettings, samples: Samples, tokenizer: str | None, tell: Tell = silent) -> dict[str, bytes]:
    """The artefacts of a method. `tokenizer`: text of a tokenizer.json, None where the method makes its own."""
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
