"""What `filter` is asked for: plain data that imports nothing heavy."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from ....corpus.settings import File
from ....filters.settings import RuleSet, UrlRules

if TYPE_CHECKING:
    from ....corpus.store.workspace import Workspace
    from ....filters.signals.families import Family


class Measured(BaseModel, frozen=True, extra="forbid"):
    """What signals are measured with, beside the text."""

    classifiers: dict[str, File] = Field(
        default={},
        description="NAME=PATH or NAME=PATH::LABEL of a model; signal classifier_NAME; may be repeated",
        json_schema_extra={"cli": {"option": "--classifier"}},
    )
    urls: UrlRules | None = Field(
        default=None, description="lists of hosts, domains, URLs and words, measured as the signal family url"
    )
    segmenter: Literal["icu", "none"] = Field(
        default="icu", description="words of zh, ja, th, km, lo, my, for gopher@fineweb2; none: null"
    )

    def known(self, workspace: "Workspace") -> "dict[str, Family]":
        """Families there are: those of the package, of these models and lists, the workspace's own tags,
        and the columns that its documents came with."""
        from ....corpus.columns.views import extra_of
        from ....filters.signals.families import EXTRA, extra_family, known_families
        from ..tag.columns import FAMILY, tag_family

        known = {**known_families(self.classifiers, self.urls, self.segmenter), FAMILY: tag_family(workspace)}
        extra = extra_of(workspace) if workspace.commit_of("extract") is not None else None
        return known | ({EXTRA: extra_family(extra.type)} if extra is not None else {})


class FilterSettings(Measured, frozen=True, extra="forbid"):
    """Settings of the command."""

    rules: str | RuleSet = Field(
        default="gopher",
        description="a bundled rule set, or a YAML file of SQL predicates",
        json_schema_extra={"cli": {"names": "rules"}},
    )
    families: tuple[str, ...] = Field(
        default=(),
        description="measure this signal family as well; may be repeated",
        json_schema_extra={"cli": {"option": "--signals", "names": "signals"}},
    )
    all_failing: bool = Field(
        default=False, description="record every failing rule in failing_rules/, not only the first"
    )


class MeasureSettings(Measured, frozen=True, extra="forbid"):
    """Families to measure together, in one pass over the text."""

    families: tuple[str, ...] = Field(description="signal families to measure together")


class DecideSettings(Measured, frozen=True, extra="forbid"):
    """The rules themselves, not their name: a file may change under its name."""

    rules: RuleSet = Field(description="the rules themselves")
    all_failing: bool = Field(default=False, description="record every failing rule")
