"""The fields of the Commission's template for the public summary of training content, as data.

Of the explanatory notice and template C(2025) 8311 (Article 53(1)(d) of Regulation (EU) 2024/1689): sections, fields in
their order, which of them are optional, and which apply only where another is answered with yes. Refuses nothing: what
an answer has to be is checked by `schema`.

Held against copies of the notice: its number and date (5 December 2025), its three parts, the kinds of sources. The
annex itself was not in reach; fields and figures are held against public readings of it as first issued (C(2025) 5235,
24 July 2025), which agree with each other: the ranges of sizes in `SIZES` (as summaries in print have them), a public
dataset listed by itself above 3 % of a modality's public data (`LARGE` in summary.py), the domain names of the top 10 %
by size of content, of a small provider the top 5 % or 1,000, whichever is lower (`LISTED` in figures.py). Whether
the later issue changed a figure is not known: look it up before you publish.
"""

from dataclasses import dataclass
from typing import Any

YES, NO = "Yes", "No"
SIZES = ("Less than 1 billion tokens", "1 billion to 10 trillion tokens", "More than 10 trillion tokens")
BILLION, TRILLIONS = 10**9, 10**13


@dataclass(frozen=True)
class TemplateField:
    """One field. `given`: the field that has to be answered with yes for this one to apply."""

    id: str
    title: str
    kind: str = "text"  # text, choice (yes or no), table
    optional: bool = False
    given: str | None = None


SECTIONS = {
    "0": "Summary",
    "1": "1. General information",
    "1.1": "1.1. Provider identification",
    "1.2": "1.2. Model identification",
    "1.3": "1.3. Modalities, overall training data size and other characteristics",
    "2": "2. List of data sources",
    "2.1": "2.1. Publicly available datasets",
    "2.2": "2.2. Private non-publicly available datasets obtained from third parties",
    "2.2.1": "2.2.1. Datasets commercially licensed by rightsholders or their representatives",
    "2.2.2": "2.2.2. Private datasets obtained from other third parties",
    "2.3": "2.3. Data crawled and scraped from online sources",
    "2.4": "2.4. User data",
    "2.5": "2.5. Synthetic data",
    "2.6": "2.6. Other sources of data",
    "3": "3. Data processing aspects",
    "3.1": "3.1. Respect of reservation of rights from text and data mining exception or limitation",
    "3.2": "3.2. Removal of illegal content",
    "3.3": "3.3. Other information (optional)",
}
_PUBLIC, _LICENSED, _PRIVATE, _CRAWLED = "2.1.used", "2.2.1.used", "2.2.2.used", "2.3.used"
_SYNTHETIC, _OTHER = "2.5.used", "2.6.used"
F = TemplateField
FIELDS = (
    F("0.version", "Version of the Summary"),
    F("0.updated", "Last update"),
    F("0.previous", "Link to previous versions of the Summary", optional=True),
    F("1.1.provider", "Provider name and contact details"),
    F("1.1.representative", "Authorised representative name and contact details"),
    F("1.2.names", "Versioned model name(s)"),
    F("1.2.dependencies", "Model dependencies"),
    F("1.2.placed", "Date of placement of the model on the Union market"),
    F("1.3.modalities", "Modality, training data size and types of content", "table"),
    F("1.3.latest", "Latest date of data acquisition or collection for model training"),
    F("1.3.languages", "Description of the linguistic characteristics of the overall training data", "table"),
    F("1.3.other", "Other relevant characteristics of the overall training data", optional=True),
    F("1.3.comments", "Additional comments (optional)", optional=True),
    F(_PUBLIC, "Have you used publicly available datasets to train the model?", "choice"),
    F("2.1.modalities", "Modality(ies) of the content covered by the datasets concerned", given=_PUBLIC),
    F("2.1.list", "List of large publicly available datasets", "table", given=_PUBLIC),
    F(
        "2.1.others",
        "General description of other publicly available datasets not listed above",
        optional=True,
        given=_PUBLIC,
    ),
    F("2.1.comments", "Additional comments (optional)", optional=True, given=_PUBLIC),
    F(
        _LICENSED,
        "Have you concluded transactional commercial licensing agreement(s) with rightsholder(s) or with their "
        "representatives?",
        "choice",
    ),
    F("2.2.1.modalities", "Modality(ies) of the content covered", given=_LICENSED),
    F(
        _PRIVATE,
        "Have you obtained private datasets from third parties that are not licensed as described in Section 2.2.1?",
        "choice",
    ),
    F("2.2.2.modalities", "Modality(ies) of the content covered by the datasets concerned", given=_PRIVATE),
    F("2.2.2.list", "Publicly known private datasets obtained from third parties", "table", given=_PRIVATE),
    F("2.2.2.description", "General description of non-publicly known private datasets", optional=True, given=_PRIVATE),
    F("2.2.2.comments", "Additional comments (optional)", optional=True, given=_PRIVATE),
    F(_CRAWLED, "Were crawlers used by the provider or on behalf of the provider?", "choice"),
    F("2.3.names", "Crawler name(s) or identifier(s)", given=_CRAWLED),
    F("2.3.purposes", "Purposes of the crawler(s)", given=_CRAWLED),
    F("2.3.behaviour", "General description of crawler behaviour", given=_CRAWLED),
    F("2.3.period", "Period of data collection", given=_CRAWLED),
    F("2.3.content", "Comprehensive description of the type of content and online sources crawled", given=_CRAWLED),
    F("2.3.modalities", "Type of modality covered", given=_CRAWLED),
    F("2.3.sites", "Summary of the most relevant domain names crawled", "table", given=_CRAWLED),
    F("2.3.comments", "Additional comments (optional)", optional=True, given=_CRAWLED),
    F(
        "2.4.interactions",
        "Was data from user interactions with the AI model (e.g. user input and prompts) used to train the model?",
        "choice",
    ),
    F(
        "2.4.services",
        "Was data collected from user interactions with the provider's other services or products used to train the "
        "model?",
        "choice",
    ),
    F("2.4.description", "General description of the services or products", given="2.4.any"),
    F("2.4.modalities", "Type of modality covered", given="2.4.any"),
    F("2.4.comments", "Additional comments (optional)", optional=True, given="2.4.any"),
    F(
        _SYNTHETIC,
        "Was synthetic AI-generated data created by the provider or on their behalf to train the model?",
        "choice",
    ),
    F("2.5.modalities", "Modality of the synthetic data", given=_SYNTHETIC),
    F("2.5.models", "General-purpose AI model(s) used to generate the synthetic data", given=_SYNTHETIC),
    F("2.5.other_models", "Other AI models used to generate synthetic data", optional=True, given=_SYNTHETIC),
    F("2.5.comments", "Additional comments (optional)", optional=True, given=_SYNTHETIC),
    F(
        _OTHER,
        "Have data sources other than those described in Sections 2.1 to 2.5 been used to train the model?",
        "choice",
    ),
    F("2.6.description", "Narrative description of these data sources and the data", given=_OTHER),
    F("2.6.comments", "Additional comments (optional)", optional=True, given=_OTHER),
    F(
        "3.1.signatory",
        "Are you a Signatory to the Code of Practice for general-purpose AI models that includes commitments to "
        "respect reservations of rights from the TDM exception or limitation?",
        "choice",
    ),
    F(
        "3.1.measures",
        "Measures implemented before model training to respect reservations of rights from the TDM exception or "
        "limitation, including the opt-out protocols and solutions honoured",
    ),
    F("3.1.comments", "Additional comments (optional)", optional=True),
    F("3.2.measures", "General description of measures taken"),
    F("3.3.other", "Other relevant information about data processing", optional=True),
)
BY_ID = {field.id: field for field in FIELDS}


def section_of(field: TemplateField) -> str:
    """The section that a field stands in."""
    return field.id.rpartition(".")[0]


def size_range(tokens: int) -> str:
    """The range of the template that a number of tokens lies in."""
    return SIZES[0] if tokens < BILLION else SIZES[1] if tokens <= TRILLIONS else SIZES[2]


def schema() -> dict[str, Any]:
    """JSON Schema of a summary: every field of the template, answered in its kind, or missing with what would tell."""
    answers: dict[str, Any] = {}
    for field in FIELDS:
        value: dict[str, Any] = {"type": "string", "minLength": 1}
        if field.kind == "choice":
            value = {"enum": [YES, NO]}
        elif field.kind == "table":
            value = {"type": "array", "minItems": 1, "items": {"type": "object"}}
        states = [
            {"required": ["value"], "properties": {"value": value}},
            {"required": ["missing"], "properties": {"missing": {"type": "string", "minLength": 1}}},
            {"required": ["not_applicable"], "properties": {"not_applicable": {"const": True}}},
        ]
        allowed = [states[0], states[1], *([states[2]] if field.optional or field.given else [])]
        answers[field.id] = {
            "type": "object",
            "required": ["title"],
            "properties": {"title": {"const": field.title}, "figures": {"type": "array", "items": {"type": "string"}}},
            "oneOf": allowed,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Public summary of training content, C(2025) 8311",
        "type": "object",
        "required": ["template", "answers"],
        "properties": {
            "template": {"const": "C(2025) 8311"},
            "answers": {
                "type": "object",
                "required": [field.id for field in FIELDS],
                "properties": answers,
                "additionalProperties": False,
            },
        },
    }
