"""What deduplication is asked to do, checked before anything runs.

`DedupSettings` says what near-duplicates are (shingles, threshold, scope), how they are looked for (signature, bands,
rows, exact keys) and who survives. A preset fills in what is not given. `resolved` has every value explicit: it is
what manifests record, so that a preset and its values spelt out are the same request.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from ..corpus.settings import Elsewhere, File, Folder
from ..corpus.store.errors import RequestError

SIGNED = ("unit", "size", "fold", "num_perm", "seed", "exact")  # what the bytes of signatures/ and shingles/ depend on


class RepeatSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What repeated text is cut from the documents that survive."""

    lines: int | None = Field(
        default=None,
        description="also cut lines that at least this many surviving documents contain; none: lines stay",
        json_schema_extra={"cli": {"option": "--lines"}},
    )
    unit: Literal["line", "paragraph"] = Field(
        default="line", description="what repeats: a line, or a paragraph between blank lines"
    )
    keep_first: bool = Field(
        default=False, description="the document with the smallest rank keeps its copy of a frequent line"
    )
    substrings: int | None = Field(
        default=None,
        description="also cut runs of at least this many words that another survivor has; none: runs stay",
        json_schema_extra={"cli": {"option": "--substrings"}},
    )
    protected: float = Field(default=0.5, description="share of a document's bytes that no cut may touch")

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


class DedupSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of the dedup stage."""

    threshold: float | None = Field(
        default=None,
        description="Jaccard from which two documents are duplicates; default: the preset's, 0.8 without one",
    )
    preset: str | None = Field(
        default=None, description="fineweb, slimpajama, redpajama-v2, nemo or redstone; default: our own"
    )
    measure: Literal["jaccard", "containment"] = Field(
        default="jaccard",
        description="similarity that verification computes: jaccard, or containment in the shorter document",
    )
    unit: Literal["words", "characters"] | None = Field(
        default=None, description="shingles of words or of characters; default: the preset's, words without one"
    )
    size: int | None = Field(default=None, description="units in a shingle; default: the preset's, 5 without one")
    fold: Literal["lower", "plain", "fineweb", "slimpajama", "redpajama", "raw"] | None = Field(
        default=None,
        description="what each character counts as when texts are compared; default: the preset's, lower without one",
    )
    num_perm: int | None = Field(
        default=None, description="permutations of a signature; default: the preset's, 128 without one"
    )
    bands: int | None = Field(
        default=None, description="bands of a signature; default: by threshold and false_negative_weight"
    )
    rows: int | None = Field(
        default=None, description="rows of a band; default: by threshold and false_negative_weight"
    )
    false_negative_weight: float = Field(
        default=0.98,
        description="weight of a missed pair against a false candidate where bands are derived, 0 to 1",
    )
    seed: int = Field(default=1, description="seed of the permutations; equal seeds give equal bytes")
    exact: tuple[str, ...] = Field(
        default=("text",), description="exact key: text, url, or SQL over documents; may be repeated"
    )
    minhash: bool = Field(default=True, description="look for near-duplicates at all")
    verify: bool = Field(default=True, description="compare shingle sets before two documents are joined")
    scope: Literal["global", "source", "domain", "crawl"] = Field(
        default="global", description="look for duplicates everywhere, or within each source, domain or crawl"
    )
    survivors: tuple[str, ...] = Field(
        default=("earliest", "longest"),
        description="earliest, latest, longest, shortest, highest:FAMILY.SIGNAL, in this order; then the smallest id",
    )
    leaders: int = Field(
        default=16, description="members of a bucket that may lead before the rest is left to the other bands"
    )
    against: tuple[Elsewhere, ...] = Field(
        default=(), description="workspace whose documents count as seen; may be repeated"
    )
    edges_in_memory: int = Field(
        default=50_000_000, description="pairs that are joined in memory; more are joined in rounds"
    )
    repeats: RepeatSettings | None = Field(
        default=None, description="lines and substrings that are cut from the survivors; none: texts stay"
    )

    def check(self) -> None:
        """Refuse what does not fit together: a RequestError that says what is wrong."""
        from .keys import check_exact
        from .survivors import check_order

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
        from .minhash import bands_and_rows, preset

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
        from .minhash import SIGNATURES

        everything = {**self.model_dump(mode="json"), **self.resolved()}
        return {name: everything[name] for name in SIGNED} | {"signatures": SIGNATURES}

    def deciding(self) -> dict[str, Any]:
        """The settings that duplicates/ and decisions/dedup/ record. How the work is cut is not among them."""
        hidden = {"preset", "false_negative_weight", "against", "edges_in_memory", "repeats", *SIGNED}
        return self.model_dump(mode="json", exclude=hidden) | {
            name: value for name, value in self.resolved().items() if name not in SIGNED
        }


class SemanticSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of the semantic stage."""

    model: Folder | None = Field(
        default=None,
        description="proxy model that makes embeddings/: a file as score writes it, a checkpoint or a run",
    )
    tokenizer: File | None = Field(
        default=None, description="its tokenizer.json, where it does not lie beside it and is not the workspace's"
    )
    table: str = Field(
        default="embeddings", description="or the table that holds the vectors, with shards like those of documents/"
    )
    column: str = Field(default="embedding", description="list column of the vectors")
    centre: bool = Field(default=True, description="take away what all vectors share before they are compared")
    components: int | None = Field(
        default=None, description="principal directions of that; default: one for each 100 dimensions"
    )
    clusters: int | None = Field(default=None, description="k-means clusters; default: square root of the documents")
    sample: int = Field(default=200_000, description="documents that mean, directions and centroids are fitted on")
    epsilon: float | None = Field(
        default=0.05,
        description="drop what has a cosine above 1 - epsilon with a document that is kept; null: drop none",
    )
    most: float = Field(default=0.5, description="refuse to drop more than this share of documents as duplicates")
    order: Literal["hard", "easy", "random"] = Field(
        default="hard", description="whom duplicates keep: hard (farthest from the centroid), easy, or random"
    )
    prune: Literal["prototypes", "density"] | None = Field(
        default=None, description="prune to the share of the documents, by prototypes or density; default: do not"
    )
    share: float = Field(default=0.5, description="share of the documents that pruning keeps")
    prefer: Literal["hard", "easy", "auto"] = Field(
        default="auto", description="prototypes to keep: hard, easy, or auto: easy where the share is under `scarce`"
    )
    scarce: float = Field(default=0.2, description="share under which auto keeps easy prototypes")
    balance: float = Field(default=0.5, description="part of the budget that is spread evenly over clusters")
    temperature: float = Field(default=0.1, description="density pruning: the lower, the more the complex clusters get")
    seed: int = Field(default=1, description="seed of k-means and random order; equal seeds give equal bytes")

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
