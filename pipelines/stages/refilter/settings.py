"""What `refilter` is asked for: plain data that imports nothing heavy."""

from pydantic import Field

from ....corpus.store.errors import RequestError
from ....filters.settings import RuleSet
from ..filter.settings import Measured


class RefilterSettings(Measured, frozen=True, extra="forbid"):
    """Settings of the command."""

    rules: str | RuleSet = Field(description="a bundled rule set, or a YAML file of SQL predicates")

    def check(self) -> RuleSet:
        """The rules; a RequestError where they name an unknown signal or edit texts."""
        from ....filters.rule_sets import compiled, load_rules
        from ....filters.signals.families import known_families

        rules = load_rules(self.rules)
        if rules.edits:
            raise RequestError(f"{rules.name}: rules that cut lines or mask edit texts, which only filter does")
        compiled(rules, families=known_families(self.classifiers, self.urls, self.segmenter))
        return rules


class RefilterCall(Measured, frozen=True, extra="forbid"):
    """The rules themselves, not their name: a file may change under its name."""

    rules: RuleSet = Field(description="the rules themselves")
