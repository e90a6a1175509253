"""Rule files: the one thing that the explorer writes, and only where it is asked to.

They go to `rules/` of the workspace, under a name that was given; nothing that is there is written over.
"""

import re

from ...corpus.sql import literal
from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem, replacing
from ...filters.settings import Rule, RuleSet
from .lasso import MOST_IDS, lasso_ids
from .rules import FilterRules, rules_as_yaml
from .view import View

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def asked_rules(view: View) -> RuleSet:
    """The rule set that an address asks for: one rule's threshold moved, or one more that drops the
    documents inside of a line on the map."""
    rules = view.source.rules
    if view.one("lasso"):
        return dropping(lasso_ids(view), rules)
    if rules is None:
        raise RequestError("there are no rules of a filter run to change in this workspace")
    return rules.moved(view.one("rule"), view.number("t", 0.0)).rules


def dropping(ids: list[str], rules: FilterRules | None) -> RuleSet:
    """The rules of the last filter run, and one that drops the documents of these ids."""
    if not ids:
        raise RequestError("no document lies inside of the line, so there is nothing to drop")
    if len(ids) > MOST_IDS:
        raise RequestError(f"a rule names at most {MOST_IDS:,} documents, and more lie inside of the line")
    listed = ", ".join(map(literal, sorted(set(ids))))
    rule = Rule(rule="chosen_on_the_map", value=f"case when id in ({listed}) then 1 else 0 end", threshold=0,
                keep="value <= threshold")  # fmt: skip
    return rules.with_rule(rule) if rules is not None else RuleSet(name="chosen", rules=(rule,))


def save_rules(view: View) -> str:
    """Write the rule set that was asked for. Returns a sentence that says where, and how it is used."""
    name = view.one("name").strip()
    if not NAME.fullmatch(name):
        raise RequestError("a rule file is named by up to 64 letters, digits, - and _, and begins with no sign")
    made = asked_rules(view).model_copy(update={"name": name})
    workspace = view.source.workspace
    url = workspace.path("rules", f"{name}.yaml")
    fs, path = filesystem(url)
    if fs.exists(path):
        raise RequestError(f"rules/{name}.yaml is there already; give another name")
    with replacing(url) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(rules_as_yaml(made))
    told, where = ("", url) if workspace.is_local else ("copy it to this machine and run ", f"{name}.yaml")
    return f"Written: {url}. To decide by it: {told}gristmill filter --workspace {workspace.url} --rules {where}"
