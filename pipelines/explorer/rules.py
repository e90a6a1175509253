"""The filter's rules as its last run had them, over rows of `facts`: which fail, and what a moved threshold changes.

A moved threshold is counted exactly and after all rules of the set: only documents that no other rule of the set drops
can change sides. What later stages would do to documents that come in is not counted again. Refuses an unknown rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import yaml

from ...corpus.columns.views import extra_of
from ...corpus.plain_yaml import load_yaml
from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.workspace import Workspace
from ...filters.rule_sets import Compiled, Rule, RuleSet, compiled, quoted
from ...filters.signals.families import EXTRA, Family, extra_family, known_families
from ..stages.filter.settings import DecideSettings
from ..stages.tag.columns import FAMILY, tag_family

TAKEN = frozenset(  # columns of `facts` that are no family of signals
    "number sole cell "
    "id file place stated_domain domain source host url title language language_score license license_class page_type "
    "page_type_score date links begins bytes characters fate stage rule value threshold duplicate_of tokens failing "
    "about_tokens unit tags".split()
)


def family_column(name: str) -> str:
    """The column of `facts` that holds a family of signals: its name, unless another column has it."""
    return f"{name}_signals" if name in TAKEN else name


@dataclass(frozen=True)
class FilterRules:
    """The rule set, checked against what is stored."""

    settings: DecideSettings
    compiled: Compiled
    lines: Compiled | None
    known: Mapping[str, Family]

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.settings.rules.rules

    def place(self, name: str) -> int:
        """Where a rule stands in the set."""
        names = [rule.rule for rule in self.rules]
        if name not in names:
            raise unknown_name("rule", name, names, "the rule set of the last filter run")
        return names.index(name)

    def values_and_fails(self) -> tuple[list[str], list[str]]:
        """SQL of each rule's value, as a column `value_N`, and of whether a row fails it."""
        parts = self.compiled.sql
        return [value for value, _, _ in parts], [f"({keep}) is not true" for _, keep, _ in parts]

    def aliases(self) -> dict[str, str]:
        """Family -> column of `facts` that holds it, where the two have other names and the rules read it."""
        return {name: family_column(name) for name in self.compiled.signals if name in TAKEN}

    def relation(self, of: str = "facts") -> str:
        """`facts` with the columns named as rules name them; the mixture unit is `unit`."""
        changed = {"domain": "stated_domain"} | self.aliases()
        replaced = ", ".join(f"{held} as {name}" for name, held in changed.items())
        return f"(select * replace ({replaced}), domain as unit from {of})"

    def moved(self, name: str, threshold: float) -> "Moved":
        """A rule with another threshold; where it has one by language, all of them move by as much as the default."""
        place = self.place(name)
        rule = self.rules[place]
        limit: float | dict[str, float] = float(threshold)
        if isinstance(rule.threshold, dict):
            by = threshold - rule.threshold["default"]
            limit = {language: value + by for language, value in rule.threshold.items()}
        other = rule.model_copy(update={"threshold": limit})
        rules = list(self.rules)
        rules[place] = other
        changed = self.settings.rules.model_copy(update={"rules": tuple(rules)})
        return Moved(self, place, changed, compiled(changed, families=self.known)[0])

    def with_rule(self, rule: Rule) -> RuleSet:
        """The set with one more rule at its end."""
        return self.settings.rules.model_copy(update={"rules": (*self.rules, rule)})


@dataclass(frozen=True)
class Moved:
    """One rule of a set with another threshold."""

    before: FilterRules
    place: int
    rules: RuleSet
    compiled: Compiled

    def line(self) -> str:
        """A relation of the documents that no other rule of the set drops: `facts` with the value of this rule, whether
        it kept them (`was`), whether it would (`will`), and the threshold that would be theirs (`limit_then`)."""
        value, old, _ = self.before.compiled.sql[self.place]
        _, new, limit = self.compiled.sql[self.place]
        rows = self.before.relation(f"(select * from facts where sole in (-1, {self.place}))")
        return (
            f"(select *, ({old}) is true as was, ({new}) is true as will, ({limit})::double as limit_then "
            f"from (select *, {value} from {rows}))"
        )

    def sides(self) -> str:
        """A relation of those of them that change sides: with `side`, 'falls' or 'comes back'."""
        return (
            f"(select *, case when was then 'falls' else 'comes back' end as side from {self.line()} where was != will)"
        )


def filter_rules(workspace: Workspace) -> FilterRules | None:
    """The rules of the last filter run; None where there is none. A model or list that it read and that is gone is left
    out with the rules that need it unknown: then None as well."""
    manifest = workspace.table("decisions/filter").manifest()
    if manifest is None:
        return None
    settings = DecideSettings.model_validate(manifest.settings)
    known: dict[str, Family] = {}
    try:
        known = known_families(settings.classifiers, settings.urls, settings.segmenter)
        known[FAMILY] = tag_family(workspace)
        extra = extra_of(workspace)
        if extra is not None:
            known[EXTRA] = extra_family(extra.type)
        rules, lines = compiled(settings.rules, families=known)
    except (RequestError, WorkspaceError, OSError, duckdb.Error):
        return None
    return FilterRules(settings, rules, lines, known)


def rules_as_yaml(rules: RuleSet) -> str:
    """A rule set as the YAML file that `gristmill filter --rules` takes, every value explicit."""
    told = rules.model_dump(mode="json", exclude_none=True)
    if not told.get("mask"):
        told.pop("mask", None)
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=110)
    if RuleSet.model_validate(load_yaml(text)) != rules:
        raise RequestError(f"the rule set {rules.name} cannot be written as YAML that reads back the same")
    return text


def rule_value(rule: Rule) -> str:
    """A rule's value as SQL over `facts`."""
    return quoted(rule.value)
