"""Taxonomies: closed lists of labels for documents, and the question that an engine is asked to choose among them.

Bundled: `topic` and `format` with 24 labels each, and `quality_label` from 0 to 5. A taxonomy is data; a file of the
user's own adds to the bundled ones or replaces them. Refuses labels that could not stand in a domain's name.
"""

import functools
import re
from collections.abc import Sequence
from importlib import resources

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from ...corpus.given_files import read_given
from ...corpus.plain_yaml import load_yaml
from ...corpus.store.errors import RequestError, unknown_name
from ..engines.engine import Request

EXCERPT = 4000  # characters of a document that are judged
SYSTEM = "You classify documents. You answer with one label from the list and nothing else."
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Taxonomy(BaseModel, frozen=True, extra="forbid"):
    """A question and its possible answers, each with what it covers."""

    question: str = Field(min_length=1)
    labels: dict[str, str] = Field(min_length=2)

    @field_validator("labels")
    @classmethod
    def _plain(cls, labels: dict[str, str]) -> dict[str, str]:
        wrong = [label for label in labels if not _LABEL.fullmatch(label)]
        if wrong:
            raise ValueError(f"labels take letters, digits, - and _ only: {', '.join(wrong)}")
        return labels

    def request(self, text: str) -> Request:
        """The question about a document; what all documents share comes first."""
        listed = "\n".join(f"{label}: {about}" for label, about in self.labels.items())
        instruction = f"{self.question} Choose one label:\n{listed}\n\nThe document:"
        return Request(excerpt(text), instruction, SYSTEM, max_tokens=24, choices=tuple(self.labels))


def excerpt(text: str) -> str:
    """The part of a document that is judged: its beginning."""
    return text[:EXCERPT]


def load_taxonomies(names: Sequence[str], file: str | None = None) -> dict[str, Taxonomy]:
    """The named taxonomies, in order of names."""
    known = dict(_bundled())
    if file is not None:
        known |= _read(read_given(file, f"--taxonomies {file}"), file)
    for name in names:
        if name not in known:
            raise unknown_name("taxonomy", name, known, file or "")
    return {name: known[name] for name in sorted(set(names))}


@functools.cache
def _bundled() -> dict[str, Taxonomy]:
    file = resources.files(__package__ or __name__).joinpath("taxonomies.yaml")
    return _read(file.read_text("utf-8"), "bundled")


def _read(text: str, where: str) -> dict[str, Taxonomy]:
    try:
        told = load_yaml(text)
        if not isinstance(told, dict) or not all(isinstance(name, str) and name.isidentifier() for name in told):
            raise RequestError(f"{where}: expected a mapping of taxonomy names, which become columns")
        return {name: Taxonomy.model_validate(taxonomy) for name, taxonomy in told.items()}
    except (yaml.YAMLError, ValidationError) as error:
        raise RequestError(f"{where}: {error}") from error
