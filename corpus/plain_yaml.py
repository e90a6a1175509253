"""YAML as people mean it: the core schema of YAML 1.2, in which `yes`, `no`, `on`, `off` and `12:30` are words.

YAML 1.1, which PyYAML reads, takes them for true, false and 750, `017` for 15 and `1e3` for a word. Refused: a name
that stands twice in one mapping, of which PyYAML would silently keep the last.
"""

import re
from typing import Any

import yaml


class RepeatedKey(yaml.YAMLError):
    """A name that stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of the core schema."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            name = self.construct_object(key, deep=True) if isinstance(key, yaml.ScalarNode) else None
            line = key.start_mark.line + 1
            if name is not None and name in seen:
                raise RepeatedKey(f"line {line}: the key {name!r} stands there twice, first in line {seen[name]}")
            seen[name] = line
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def load_yaml(text: str | bytes) -> Any:
    """What a YAML text says; yaml.YAMLError where it is none."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested deeper than can be read") from error
    except (ValueError, LookupError, ArithmeticError) as error:  # a number or date that Python cannot hold
        raise yaml.YAMLError(f"a value in it cannot be read: {error}") from error
