"""What deduplication is asked to do, checked before anything runs.

`DedupSettings` says what near-duplicates are (shingles, threshold, scope), how they are looked for (signature, bands,
rows, exact keys) and who survives. A preset fills in what is not given. `resolved` has every value explicit: it is
what manifests record, so that a preset and its values spelt out are the same request.
"""

from typing import Any, Literal

from pydantic import BaseModel

from ..corpus.store.calls import Elsewhere, File, Folder
from ..corpus.store.errors import RequestError
from .keys import check_exact
from .minhash import SIGNATURES, bands_and_rows, preset
from .survivors import check_order

SIGNED = ("unit", "size", "fold", "num_perm", "seed", "exact")  # what the bytes of signatures/ and shingles/ depend on


class RepeatSettings(BaseModel, frozen=True, extra="forbid"):
    """What repeated text is cut from the documents that survive.

    lines       cut a line or paragraph that at least this many documents contain; None: leave lines alone
    unit        "line", or "paragraph": what stands between blank lines
    keep_first  the document with the smallest rank keeps its copy of a frequent line
    substrings  cut runs of at least this many words that another document has as well; None: leave them
    protected   share of a document's bytes that no cut may touch
    """

    lines: int | None = None
    unit: Literal["line", "paragraph"] = "line"
    keep_first: bool = False
    substrings: int | None = None
    protected: float = 0.5

    def check(self) -> None:
        """Refuse what does not fit together."""
        if self.lines is None and self.substrings is None:
            raise RequestError("dedup: neither lines nor substrings: nothing would be cut")
        if self.lines is not None and self.lines < 2:
            raise RequestError(f"dedup: a line repeats from 2 documents on, got {self.lines}")
        if self.substrings is not None and self.substrings < 4:
            raise RequestError(f"dedup: substrings of at least 4 words, got {self.substrings}")
        if not 0 < self.protected <= 1:
            raise RequestError(f"dedup: the protected share lies above 0 and up to 1, got {self.protected}")


class DedupSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the dedup stage.

    threshold  similarity from which two documents are duplicates
    measure    exact similarity that verification computes: jaccard, or containment in the shorter document
    unit, size, fold   shingles: see gristmill.dedup.shingles and gristmill.dedup.folds
    bands, rows        given both, or derived from the threshold and `false_negative_weight`
    exact      keys that make exact duplicates: "text" (normalised), "url", or SQL over documents
    minhash    look for near-duplicates at all
    verify     compare shingle sets before joining; without it every shared bucket joins, as most tools do
    scope      duplicates are looked for in everything, or within source, domain or crawl
    survivors  who survives, see gristmill.dedup.survivors; the smallest id decides at last
    leaders    how many members of a bucket may lead before the rest is left to the other bands
    repeats    lines and substrings that are cut from the survivors
    against    workspaces whose documents count as seen: their signatures are read, their text is not
    """

    threshold: float | None = None
    preset: str | None = None
    measure: Literal["jaccard", "containment"] = "jaccard"
    unit: Literal["words", "characters"] | None = None
    size: int | None = None
    fold: Literal["lower", "plain", "fineweb", "slimpajama", "redpajama", "raw"] | None = None
    num_perm: int | None = None
    bands: int | None = None
    rows: int | None = None
    false_negative_weight: float = 0.98
    seed: int = 1
    exact: tuple[str, ...] = ("text",)
    minhash: bool = True
    verify: bool = True
    scope: Literal["global", "source", "domain", "crawl"] = "global"
    survivors: tuple[str, ...] = ("earliest", "longest")
    leaders: int = 16
    against: tuple[Elsewhere, ...] = ()
    edges_in_memory: int = 50_000_000
    repeats: RepeatSettings | None = None

    def check(self) -> None:
        """Refuse what does not fit together: a RequestError that says what is wrong."""
        if self.repeats is not None:
            self.repeats.check()
        check_order(self.survivors)
        check_exact(self.exact)
        resolved = self.resolved()
        if not 0 < resolved["threshold"] < 1:
            raise RequestError(f"dedup: a threshold lies between 0 and 1, got {resolved['threshold']}")
        if resolved["size"] < 1 or resolved["num_perm"] < 2 or self.leaders < 1:
            raise RequestError("dedup: size and leaders are at least 1, num_perm at least 2")
        if resolved["fold"] == "raw" and resolved["unit"] == "words":
            raise RequestError("dedup: the fold raw has no words; use it with unit: characters")
        if (self.bands is None) != (self.rows is None):
            raise RequestError("dedup: give bands and rows together, or neither")
        if resolved["bands"] * resolved["rows"] > resolved["num_perm"]:
            raise RequestError(
                f"dedup: {resolved['bands']} bands of {resolved['rows']} rows need "
                f"{resolved['bands'] * resolved['rows']} permutations, num_perm is {resolved['num_perm']}"
            )
        if not self.minhash and not self.exact:
            raise RequestError("dedup: neither minhash nor an exact key: nothing would be compared")

    def resolved(self) -> dict[str, Any]:
        """Every value that the preset, the defaults or the derivation of bands and rows supply."""
        given = preset(self.preset) if self.preset else None

        def value(name: str, otherwise: Any) -> Any:
            own = getattr(self, name)
            return own if own is not None else getattr(given, name) if given else otherwise

        found = {
            "unit": value("unit", "words"),
            "size": value("size", 5),
            "fold": value("fold", "lower"),
            "num_perm": value("num_perm", 128),
            "threshold": value("threshold", 0.8),
        }
        if self.bands is not None and self.rows is not None:
            bands, rows = self.bands, self.rows
        elif given and self.num_perm is None and self.threshold is None:
            bands, rows = given.bands, given.rows
        else:
            bands, rows = bands_and_rows(found["threshold"], found["num_perm"], self.false_negative_weight)
        return {**found, "bands": bands, "rows": rows}

    def signing(self) -> dict[str, Any]:
        """The settings that signatures/ and shingles/ record."""
        everything = {**self.model_dump(mode="json"), **self.resolved()}
        return {name: everything[name] for name in SIGNED} | {"signatures": SIGNATURES}

    def deciding(self) -> dict[str, Any]:
        """The settings that duplicates/ and decisions/dedup/ record. How the work is cut is not among them."""
        hidden = {"preset", "false_negative_weight", "against", "edges_in_memory", "repeats", *SIGNED}
        return self.model_dump(mode="json", exclude=hidden) | {
            name: value for name, value in self.resolved().items() if name not in SIGNED
        }


class SemanticSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the semantic stage.

    model, tokenizer  a proxy model's file, checkpoint or run that makes the vectors, of documents as they enter this
                   stage, into `embeddings/`; its tokenizer.json, where it lies neither beside it nor in the workspace
    table, column  or where vectors are: a table with shards like those of documents/, and a list column
    centre         take the mean vector away before anything is compared
    components     and this many principal directions; None: one for each 100 dimensions, rounded up
    clusters       k-means clusters; None: about the square root of the documents
    sample         documents that mean, directions and centroids are fitted on: those of the smallest rank
    epsilon        SemDeDup drops a document whose cosine with a kept one exceeds 1 - epsilon; None: off
    most           refuse the result where SemDeDup would drop more than this share of the documents
    order          whom SemDeDup keeps: hard (farthest from the centroid), easy, or random (smallest rank)
    prune          "prototypes" or "density" within the budget `share`; None: off
    prefer         prototypes: hard, easy, or auto: easy where the share is under `scarce`
    balance        part of the budget that is spread evenly over clusters
    temperature    density: the lower, the more the complex clusters get
    """

    model: Folder | None = None
    tokenizer: File | None = None
    table: str = "embeddings"
    column: str = "embedding"
    centre: bool = True
    components: int | None = None
    clusters: int | None = None
    sample: int = 200_000
    epsilon: float | None = 0.05
    most: float = 0.5
    order: Literal["hard", "easy", "random"] = "hard"
    prune: Literal["prototypes", "density"] | None = None
    share: float = 0.5
    prefer: Literal["hard", "easy", "auto"] = "auto"
    scarce: float = 0.2
    balance: float = 0.5
    temperature: float = 0.1
    seed: int = 1

    def check(self) -> None:
        """Refuse what does not fit together."""
        if self.model is not None and self.table != "embeddings":
            raise RequestError("semantic: a model makes its own table of vectors: give --model or --table")
        if self.epsilon is None and self.prune is None:
            raise RequestError("semantic: neither epsilon nor prune: nothing would be dropped")
        if self.epsilon is not None and not 0 < self.epsilon < 2:
            raise RequestError(f"semantic: epsilon is a distance between 0 and 2, got {self.epsilon}")
        if not 0 < self.share <= 1 or not 0 <= self.balance <= 1 or self.temperature <= 0:
            raise RequestError("semantic: share and balance lie between 0 and 1, temperature above 0")
        if not 0 < self.most <= 1 or (self.components is not None and self.components < 0):
            raise RequestError("semantic: most lies above 0 and up to 1, components is at least 0")
        if self.components and not self.centre:
            raise RequestError("semantic: principal directions are those of centred vectors; leave centre on")
        if (self.clusters is not None and self.clusters < 1) or self.sample < 1:
            raise RequestError("semantic: at least one cluster and a sample of at least one document")
