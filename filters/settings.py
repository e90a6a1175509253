"""What filters are asked for: rule sets as data, and lists of URLs. Checked for form alone; imports nothing heavy.

Whether a rule names a signal that exists is for `rule_sets.compiled`; whether a list can be read, for `urls`.
"""

import math
import os
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..corpus.settings import File, Folder


def _files(given: object) -> object:
    """A path alone, or a list of them, as category -> path: the category is the file's name without its ending."""
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list | tuple):
        return given
    named: dict[str, str] = {}
    for path in given:
        name = os.path.splitext(os.path.basename(str(path)))[0]
        if name in named:
            raise ValueError(f"two lists named {name}; name them apart: {{name: path}}")
        named[name] = str(path)
    return named


Files = Annotated[dict[str, File], BeforeValidator(_files)]


class UrlRules(BaseModel, frozen=True, extra="forbid"):
    """Which lists there are: files with an entry a line, as a path, a list of paths, or category -> path."""

    folder: Folder | None = Field(
        default=None,
        description="folder of UT1-style categories, each with files `domains` and `urls`; signal url.listed",
        json_schema_extra={"cli": {"option": "--url-lists"}},
    )
    block_hosts: Files = Field(
        default={},
        description="list of hosts that are dropped, these alone: FILE or CATEGORY=FILE, an entry a line",
        json_schema_extra={"cli": {"option": "--block-hosts", "parse": "lists"}},
    )
    block_domains: Files = Field(
        default={},
        description="list of domains that are dropped with their sub-domains: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--block-domains", "parse": "lists"}},
    )
    block_urls: Files = Field(
        default={},
        description="list of URLs that are dropped: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--block-urls", "parse": "lists"}},
    )
    block_words: Files = Field(
        default={},
        description="list of words that drop a URL anywhere in host and path: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--block-words", "parse": "lists"}},
    )
    soft_words: Files = Field(
        default={},
        description="list of words that drop a URL when several stand in it as whole words: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--soft-words", "parse": "lists"}},
    )
    soft_at_least: int = Field(
        default=2,
        ge=1,
        description="different soft words in a URL that drop it",
        json_schema_extra={"cli": {"option": "--soft-at-least"}},
    )
    allow_hosts: Files = Field(
        default={},
        description="list of hosts that no list drops, these alone: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--allow-hosts", "parse": "lists"}},
    )
    allow_domains: Files = Field(
        default={},
        description="list of domains that no list drops, with their sub-domains: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--allow-domains", "parse": "lists"}},
    )
    allow_urls: Files = Field(
        default={},
        description="list of URLs that no list drops: FILE or CATEGORY=FILE",
        json_schema_extra={"cli": {"option": "--allow-urls", "parse": "lists"}},
    )

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """Kind of list -> category -> path, those that are given."""
        found = {name: value for name, value in self if isinstance(value, dict)}
        return {name: value for name, value in found.items() if value}

    def fingerprint(self) -> str:
        """Of the files' contents and the settings, whatever the paths; a RequestError for one that is not there."""
        from ..corpus.store.errors import RequestError
        from ..corpus.store.shards import checksum, fingerprint
        from .url_lists import lists_checksum

        made: dict[str, object] = {"soft_at_least": self.soft_at_least}
        for kind, files in sorted(self.files.items()):
            for path in files.values():
                if not os.path.isfile(path):
                    raise RequestError(f"{kind}: there is no file {path}")
            made[kind] = {category: checksum(path) for category, path in sorted(files.items())}
        if self.folder is not None:
            made["folder"] = lists_checksum(self.folder)
        return fingerprint(made)


_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def _number(told: object) -> None:
    """A ValueError where a threshold is a word or a truth value, which pydantic would take for a number."""
    if isinstance(told, bool) or (isinstance(told, str) and not _NUMBER.fullmatch(told.strip())):
        raise ValueError(f"a threshold is a number such as 0.5, and {told!r} is a word")


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Rule(BaseModel):
    """One predicate. `keep` is SQL over `value`, `threshold` and signals; a document for which it is not true goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Name = Field(description="name under which decisions record what fell to it")
    value: str = Field(description="SQL over signals: what is compared and recorded")
    threshold: float | dict[str, float] = Field(description="a number, or a number by language with one for `default`")
    keep: str = Field(description="SQL over `value`, `threshold` and signals; a document for which it is not true goes")

    @field_validator("threshold", mode="before")
    @classmethod
    def _a_number(cls, threshold: Any) -> Any:
        for one in threshold.values() if isinstance(threshold, dict) else (threshold,):
            _number(one)
        return threshold

    @field_validator("threshold")
    @classmethod
    def _finite(cls, threshold: float | dict[str, float]) -> float | dict[str, float]:
        numbers = threshold if isinstance(threshold, dict) else {"default": threshold}
        if "default" not in numbers:
            raise ValueError("a threshold by language needs one for `default`")
        if not all(math.isfinite(number) for number in numbers.values()):
            raise ValueError("a threshold must be a finite number")
        return threshold


def _distinct_names(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    names = [rule.rule for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"rule names must differ, twice there: {', '.join(twice)}")
    return rules


class LineRules(BaseModel):
    """Rules over the columns of `lines.LINE_COLUMNS`; a line for which one is not true is cut out of the text.

    Rules of documents may then ask `kept.lines`, `kept.words`, `kept.chars`, `kept.sentences`, `removed.words_ratio`
    and `removed.RULE`, the number of lines that fell to a line rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["lf", "broken"] = Field(
        default="lf", description="lf: at line feeds; broken: as Python's str.splitlines"
    )
    rules: tuple[Rule, ...] = Field(
        description="rules over the columns of a line; a line for which one is not true is cut out"
    )

    _distinct = field_validator("rules")(_distinct_names)


class _Overlay(BaseModel):
    """Thresholds by language and rule."""

    languages: dict[Annotated[str, Field(pattern="^[a-z]{2,3}$")], dict[str, float]] = Field(
        description="language -> rule -> threshold, laid over those of the rules"
    )

    @field_validator("languages", mode="before")
    @classmethod
    def _named(cls, languages: Any) -> Any:
        for name, thresholds in languages.items() if isinstance(languages, dict) else ():
            if not isinstance(name, str):
                raise ValueError(f"a language is named by its code, and {name!r} is none; put codes in quotes")
            for one in thresholds.values() if isinstance(thresholds, dict) else ():
                _number(one)
        return languages


class RuleSet(BaseModel):
    """Rules in the order in which they are asked.

    `languages` in a file lays other thresholds over those of the rules, by language: `{de: {min_words: 40}}` makes the
    threshold of `min_words` one by language, with the rule's own as its `default`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="name of the rule set")
    about: str = Field(default="", description="where the rules come from")
    lines: LineRules | None = Field(
        default=None, description="rules of lines, whose cuts are recorded in edits/filter/"
    )
    mask: tuple[Literal["email", "ip", "phone", "iban", "card", "api_key"], ...] = Field(
        default=(), description="personal data to replace by a mark"
    )
    mask_key: str | None = Field(
        default=None,
        description="key that tells equal data from different ones: <EMAIL:3f2a9c> for <EMAIL>; none: no telling apart",
    )
    rules: tuple[Rule, ...] = Field(description="rules of documents, in the order in which they are asked")

    _distinct = field_validator("rules")(_distinct_names)

    @field_validator("name", "about", mode="before")
    @classmethod
    def _words(cls, told: Any) -> Any:
        return str(told) if isinstance(told, int | float) else told  # a rule set may be called 2024

    @model_validator(mode="before")
    @classmethod
    def _laid_over(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "languages" not in values:
            return values
        values = dict(values)
        over = _Overlay(languages=values.pop("languages")).languages
        named = {rule.get("rule"): rule for rule in values.get("rules", ()) if isinstance(rule, dict)}
        for language, thresholds in over.items():
            if unknown := sorted(set(thresholds) - set(named)):
                raise ValueError(f"languages.{language}: there is no rule {unknown[0]}")
        rules = []
        for rule in values.get("rules", ()):
            own = rule.get("threshold") if isinstance(rule, dict) else None
            other = {language: by[rule["rule"]] for language, by in over.items() if rule["rule"] in by}
            base = own if isinstance(own, dict) else {"default": own}
            rules.append(rule | {"threshold": base | other} if other else rule)
        return values | {"rules": rules}

    @property
    def edits(self) -> bool:
        """Whether the rules change texts, and therefore read them."""
        return self.lines is not None or bool(self.mask)
