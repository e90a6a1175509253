"""Where rule sets lie: those that come with the package, by name, and YAML files, by path. Imports nothing heavy.

`rules: [{include: fineweb}, …]` puts the rules of another set at that place, so that a rule of one's own goes before or
after published ones without a copy of them. Refuses a set that includes itself, and line rules of two sets at once.
"""

import importlib.resources
import os
from typing import Any

from ..corpus.given_files import read_given
from ..corpus.plain_yaml import load_yaml
from ..corpus.store.errors import RequestError, unknown_name

INCLUDE = "include"


def bundled() -> list[str]:
    """Names of the rule sets that come with the package."""
    files = importlib.resources.files(f"{__package__}.rules").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def rule_text(name: str) -> str:
    """The text of a bundled rule set, or of a YAML file. RequestError where there is neither."""
    if name in bundled():
        return (importlib.resources.files(f"{__package__}.rules") / f"{name}.yaml").read_text(encoding="utf-8")
    if not os.path.exists(name):
        raise unknown_name("rule set", name, bundled(), "--rules")
    return read_given(name, f"--rules {name}")


def expanded(values: dict[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    """A rule set as a mapping, with the rules of the sets that it includes in their places, and their line rules, marks
    and thresholds by language where it has none of its own. ValueError where that cannot be."""
    rules = values.get("rules")
    if not isinstance(rules, list | tuple) or not any(_included(rule) for rule in rules):
        return values
    made: dict[str, Any] = {**values, "rules": []}
    languages: dict[str, dict[str, Any]] = {}
    for rule in rules:
        name = _included(rule)
        if name is None:
            made["rules"].append(rule)
            continue
        other = _read(name, within)
        made["rules"].extend(other.get("rules", ()))
        for language, thresholds in (other.get("languages") or {}).items():
            languages.setdefault(language, {}).update(thresholds)
        for part in ("lines", "mask"):
            if other.get(part) and made.get(part) and made[part] != other[part]:
                raise ValueError(f"include {name}: its {part} and those before cannot both be; state {part} once")
            if other.get(part):
                made[part] = other[part]
    for language, thresholds in (values.get("languages") or {}).items():
        languages.setdefault(language, {}).update(thresholds)
    return made | ({"languages": languages} if languages else {})


def _included(rule: Any) -> str | None:
    return str(rule[INCLUDE]) if isinstance(rule, dict) and list(rule) == [INCLUDE] else None


def _read(name: str, within: tuple[str, ...]) -> dict[str, Any]:
    if name in within:
        raise ValueError(f"include {name}: the set includes itself")
    try:
        values = load_yaml(rule_text(name))
    except RequestError as error:
        raise ValueError(f"include {name}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"include {name}: it is no mapping with rules")
    return expanded(values, (*within, name))
