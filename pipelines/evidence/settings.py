"""What a card is asked for, and what a workspace cannot know: plain data that imports nothing heavy.

Nothing here has a default that claims anything: what is not given is listed as missing.
"""

from datetime import date

from pydantic import BaseModel, Field

from ...corpus.settings import Section


class Provider(BaseModel, frozen=True, extra="forbid"):
    """Who answers for the model and the dataset."""

    name: str | None = Field(default=None, description="legal name of the provider")
    contact: str | None = Field(default=None, description="how the provider is reached")
    representative: str | None = Field(
        default=None, description="name and contact of the authorised representative in the Union; 'none' where none is"
    )
    small: bool = Field(
        default=False, description="a small or medium-sized enterprise, which lists 5 % of domain names or 1,000"
    )


class ModelFacts(BaseModel, frozen=True, extra="forbid"):
    """The model that the summary is of."""

    names: tuple[str, ...] = Field(default=(), description="versioned names of the model")
    dependencies: str | None = Field(
        default=None, description="models that it was made from, with links to their summaries; 'none' where none are"
    )
    placed_on_market: date | None = Field(default=None, description="when it was placed on the Union market")


class SourceFacts(BaseModel, frozen=True, extra="forbid"):
    """One source of documents, by the name that its input has."""

    section: Section | None = Field(
        default=None, description="kind of source; default: what the input declared when it was extracted"
    )
    title: str | None = Field(default=None, description="name of the dataset, as others know it")
    link: str | None = Field(default=None, description="where it is described or downloaded")
    description: str | None = Field(default=None, description="what it holds")
    collected_from: date | None = Field(default=None, description="first day of collection")
    collected_until: date | None = Field(default=None, description="last day of collection")


class Crawler(BaseModel, frozen=True, extra="forbid"):
    """Crawlers of the provider's own."""

    names: tuple[str, ...] = Field(default=(), description="names or identifiers of the crawlers")
    purposes: str | None = Field(default=None, description="what they crawl for")
    behaviour: str | None = Field(
        default=None, description="how they behave: robots.txt, captchas, paywalls, rate, and so on"
    )


class UserData(BaseModel, frozen=True, extra="forbid"):
    """Data of the provider's users."""

    interactions: bool | None = Field(default=None, description="interactions with the model were trained on")
    services: bool | None = Field(default=None, description="interactions with other services were trained on")
    description: str | None = Field(default=None, description="the services and products that it was collected by")


class Synthetic(BaseModel, frozen=True, extra="forbid"):
    """Models whose output was trained on."""

    models: tuple[str, ...] = Field(default=(), description="general-purpose models on the market")
    other_models: str | None = Field(default=None, description="other models, the provider's own among them")


class Processing(BaseModel, frozen=True, extra="forbid"):
    """What was done before training that no table shows."""

    code_of_practice: bool | None = Field(default=None, description="the provider signed the Code of Practice")
    reservations: str | None = Field(default=None, description="measures by which reservations of rights are respected")
    illegal_content: str | None = Field(default=None, description="measures against illegal content")
    other: str | None = Field(default=None, description="other information on processing")


class DatasetFacts(BaseModel, frozen=True, extra="forbid"):
    """The dataset, for its card and for Croissant."""

    name: str | None = Field(default=None, description="name of the dataset; default: that of the folder")
    description: str | None = Field(default=None, description="one paragraph on it")
    license: str | None = Field(default=None, description="licence of the dataset as such: an SPDX name or a URL")
    url: str | None = Field(default=None, description="where it is published")
    published: date | None = Field(default=None, description="when it was published")
    cite_as: str | None = Field(default=None, description="how to cite it, as BibTeX")
    version: str | None = Field(default=None, description="its version, such as 1.0.0")


class SummaryFacts(BaseModel, frozen=True, extra="forbid"):
    """The summary itself."""

    version: str | None = Field(default=None, description="version of the summary")
    updated: date | None = Field(default=None, description="when it was last updated")
    previous: str | None = Field(default=None, description="link to earlier versions of the summary")
    content_types: str | None = Field(default=None, description="types of content: fiction, scientific text, code, …")
    characteristics: str | None = Field(default=None, description="other characteristics of the training data")
    comments: dict[str, str] = Field(
        default={}, description="field of the template that takes comments, for example 2.1.comments -> comments"
    )


class CardSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that a card says and no table holds."""

    provider: Provider = Field(default=Provider(), description="who answers for it")
    model: ModelFacts = Field(default=ModelFacts(), description="the model that was trained")
    dataset: DatasetFacts = Field(default=DatasetFacts(), description="the dataset")
    summary: SummaryFacts = Field(default=SummaryFacts(), description="the summary of training content")
    sources: dict[str, SourceFacts] = Field(default={}, description="source -> what is known of it")
    crawler: Crawler = Field(default=Crawler(), description="crawlers of the provider's own")
    user: UserData = Field(default=UserData(), description="data of users")
    synthetic: Synthetic = Field(default=Synthetic(), description="models whose output was trained on")
    private: str | None = Field(
        default=None, description="private datasets of third parties that are not known publicly"
    )
    other: str | None = Field(default=None, description="sources of no other kind, in words")
    processing: Processing = Field(default=Processing(), description="what was done before training")
