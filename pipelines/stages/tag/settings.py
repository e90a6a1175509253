"""What `tag` is asked for: plain data that imports nothing heavy."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from ....corpus.settings import File
from ....filters.settings import RuleSet

if TYPE_CHECKING:
    from ....proxy_models.rewriting.taxonomy import Taxonomy

BUNDLED = ("format", "quality_label", "topic")
Learner = Literal["linear", "fasttext"]


class TagSettings(BaseModel, frozen=True, extra="forbid"):
    """What to tag, who teaches it, what to keep, what makes a mixture unit."""

    taxonomies: tuple[str, ...] = Field(
        default=BUNDLED,
        description="topic, format, quality_label, or one of the taxonomies file; may be repeated",
        json_schema_extra={"cli": {"option": "--taxonomy"}},
    )
    taxonomies_file: str | None = Field(
        default=None,
        description="YAML file with taxonomies of your own",
        json_schema_extra={"cli": {"option": "--taxonomies"}},
    )
    engine: dict[str, Any] | None = Field(
        default=None,
        description="settings of the engine that labels a sample; default: the labellers already there",
        json_schema_extra={"cli": {"option": None}},
    )
    sample: int = Field(
        default=2000, ge=10, description="documents that the engine labels; a small model learns from them"
    )
    learner: Learner = Field(default="linear", description="what learns from the engine's labels: linear or fasttext")
    models: dict[str, str] = Field(
        default={},
        description="TAXONOMY=MODEL.bin, a fastText model of your own; may be repeated",
        json_schema_extra={"cli": {"option": "--labeller", "parse": "labellers"}},
    )
    clusters: int = Field(default=0, ge=0, le=1000, description="k-means clusters to find; 0: none")
    cluster_sample: int = Field(default=20_000, ge=10, description="documents that the clusters are found in")
    vectors: str | None = Field(
        default=None,
        description="cluster stored vectors instead of words: TABLE or TABLE:COLUMN, scores/rds:embedding say",
    )
    keep: tuple[str, ...] = Field(
        default=(), description="SQL over the tags; documents for which it is not true are dropped; may be repeated"
    )
    rules: str | None = Field(
        default=None, description="YAML file of rules over tag.COLUMN, say tag.quality_label >= threshold"
    )
    domain: tuple[str, ...] = Field(
        default=(),
        description="tags that make the mixture unit: topic,quality_label or cluster or suffix …",
        json_schema_extra={"cli": {"parse": "by_commas"}},
    )
    seed: int = Field(default=0, description="seed of samples, training and clusters; equal seeds give equal bytes")
    request_cache: str | None = Field(
        default=None, description="file that remembers replies; default: requests/ in the workspace"
    )


class ApplySettings(BaseModel, frozen=True, extra="forbid"):
    """What the tag stage itself does, once everything is learnt."""

    taxonomies: tuple[str, ...] = Field(description="taxonomies of the workspace's labellers")
    models: dict[str, File] = Field(default={}, description="taxonomy -> fastText model")
    clusters: bool = Field(default=False, description="number documents by cluster")
    vectors: str | None = Field(default=None, description="stored vectors that are clustered")
    numbers: tuple[str, ...] = Field(default=(), description="taxonomies whose labels are whole numbers")
    keep: tuple[str, ...] = Field(default=(), description="SQL over the tags")
    rules: RuleSet | None = Field(default=None, description="the rules themselves")
    domain: tuple[str, ...] = Field(default=(), description="tags that make the mixture unit")


class LabelSettings(BaseModel, frozen=True, extra="forbid"):
    """Which engine labels how many documents in which taxonomies."""

    engine: dict[str, Any] = Field(description="settings of the engine")
    taxonomies: tuple[str, ...] = Field(description="taxonomies to label in")
    taxonomies_file: File | None = Field(default=None, description="YAML file with taxonomies of one's own")
    sample: int = Field(default=2000, ge=10, description="documents that the engine labels")
    seed: int = Field(default=0, description="seed of the sample; equal seeds give equal bytes")
    request_cache: str | None = Field(
        default=None, description="file that remembers replies; default: requests/ in the workspace"
    )

    def loaded(self) -> "dict[str, Taxonomy]":
        from ....proxy_models.rewriting.taxonomy import load_taxonomies

        return load_taxonomies(self.taxonomies, self.taxonomies_file)


class LearnSettings(BaseModel, frozen=True, extra="forbid"):
    """How to distil."""

    learner: Learner = Field(default="linear", description="what learns from the labels")
    seed: int = Field(default=0, description="seed of the training; equal seeds give equal bytes")


class ClusterSettings(BaseModel, frozen=True, extra="forbid"):
    """How many clusters, from how many documents, by their words or by stored vectors: TABLE or TABLE:COLUMN."""

    clusters: int = Field(ge=2, le=1000, description="k-means clusters")
    vectors: str | None = Field(default=None, description="stored vectors: TABLE or TABLE:COLUMN; default: words")
    sample: int = Field(default=20_000, ge=10, description="documents that the clusters are found in")
    seed: int = Field(default=0, description="seed of the sample and k-means; equal seeds give equal bytes")
