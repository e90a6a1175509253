"""Rephrasing (WRAP): chunks of a document rewritten in a style, checked, and put together as a new document.

Styles are data: bundled ones and the user's own YAML. A chunk whose rewriting fails a check, or whose request failed,
falls back to the original chunk; a document in which too much fell back falls back as a whole. The original document
is never touched. Refuses styles without an instruction and documents too short to be worth a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from ...corpus.given_files import read_given
from ...corpus.plain_yaml import load_yaml
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.shards import fingerprint
from ..engines.cache import Reply
from ..engines.engine import Request
from .rephrase_checks import Checks, cleaned, fault
from .rephrase_chunks import Count, chunks

CHUNK_TOKENS = 300  # longer inputs lose information
LEAST_WORDS = 20  # a shorter document is not worth rewriting


class Style(BaseModel, frozen=True, extra="forbid"):
    """One way to rewrite."""

    instruction: str = Field(min_length=1)
    system: str = ""
    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    reply_tokens: float = Field(default=2.5, gt=0, description="most tokens of a reply, as a multiple of the chunk's")
    checks: Checks = Checks()


def bundled_styles() -> dict[str, Style]:
    """The styles that come with the package."""
    text = resources.files(__package__ or __name__).joinpath("rephrase_styles.yaml").read_text("utf-8")
    return styles_of(text, "bundled styles")


def styles_of(text: str, where: str) -> dict[str, Style]:
    """Styles from YAML: a mapping of names to what `Style` holds."""
    try:
        told = load_yaml(text)
        if not isinstance(told, dict):
            raise RequestError(f"{where}: expected a mapping of style names, found {type(told).__name__}")
        return {str(name): Style.model_validate(style) for name, style in told.items()}
    except (yaml.YAMLError, ValidationError) as error:
        raise RequestError(f"{where}: {error}") from error


def load_styles(names: Sequence[str], file: str | None = None) -> dict[str, Style]:
    """The named styles, in order of names; the user's file may add styles and replace bundled ones."""
    known = bundled_styles()
    if file is not None:
        known |= styles_of(read_given(file, f"--styles {file}"), file)
    for name in names:
        if name not in known:
            raise unknown_name("style", name, known, file or "")
        if not name.replace("_", "").replace("-", "").isalnum():
            raise RequestError(
                f"style {name!r}: a name becomes part of domains and files; letters, digits, - and _ only"
            )
    return {name: known[name] for name in sorted(set(names))}


@dataclass(frozen=True)
class Rewriting:
    """What became of a document in one style: a text, or the reason why there is none."""

    text: str | None
    reason: str | None  # of the whole document, where it fell back
    chunks: int
    faults: tuple[str, ...]  # of the chunks that fell back


@lru_cache(maxsize=4096)
def _chunks(text: str, limit: int, count: Count) -> tuple[str, ...]:
    return tuple(chunks(text, limit, count))


def rephrase_requests(text: str, style: Style, count: Count, limit: int, seed: int) -> list[Request]:
    """One request for each chunk; none where the document is too short. The seed of each is its own."""
    if len(text.split()) < LEAST_WORDS and len(text) < 6 * LEAST_WORDS:
        return []
    return [
        Request(
            chunk.strip(),
            style.instruction,
            style.system,
            max_tokens=int(count(chunk) * style.reply_tokens) + 32,
            temperature=style.temperature,
            top_p=style.top_p,
            seed=int(fingerprint(seed, chunk)[:8], 16) >> 1,
        )
        for chunk in _chunks(text, limit, count)
        if chunk.strip()
    ]


def assemble(requests: Sequence[Request], replies: Sequence[Reply], style: Style, most_fallen: float) -> Rewriting:
    """Check each reply against its chunk and put the document together, chunks one paragraph each."""
    if not requests:
        return Rewriting(None, "too short", 0, ())
    parts: list[str] = []
    faults: list[str] = []
    for request, reply in zip(requests, replies, strict=True):
        said = cleaned(reply.text)
        wrong = fault(request.document, said, reply, style.checks)
        if wrong is not None:
            faults.append(wrong)
        parts.append(request.document if wrong is not None else said)
    if len(faults) > most_fallen * len(requests):
        return Rewriting(None, faults[0], len(requests), tuple(faults))
    return Rewriting("\n\n".join(parts), None, len(requests), tuple(faults))


def mix_synthetic(shares: dict[str, float], styles: Sequence[str], ratio: float = 1.0) -> dict[str, float]:
    """Shares of token domains with `ratio` synthetic tokens for each real one, in every domain that has synthetic ones.

    A synthetic domain is called `<domain>.<style>`. A domain and its synthetic ones keep their share together; the
    styles of a domain share alike. Refuses a ratio below zero.
    """
    if ratio < 0:
        raise RequestError(f"a ratio of {ratio} synthetic to real tokens is below zero")
    mixed = dict(shares)
    for domain in shares:
        made = [f"{domain}.{style}" for style in styles if f"{domain}.{style}" in shares]
        if made:
            together = shares[domain] + sum(shares[name] for name in made)
            mixed[domain] = together / (1 + ratio)
            mixed.update((name, together * ratio / (1 + ratio) / len(made)) for name in made)
    return mixed


def style_record(styles: dict[str, Style]) -> dict[str, Any]:
    """What the settings record of styles: all of it, so that a changed prompt is another setting."""
    return {name: style.model_dump(mode="json") for name, style in styles.items()}
