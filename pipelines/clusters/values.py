"""Values of a settings or cluster file with `${NAME}` replaced from the environment."""

import os
import re
from typing import Any

VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|\$)")


def expanded(value: Any, place: tuple[str, ...], mistakes: list[str]) -> Any:
    """Values with `${NAME}` replaced from the environment and `$$` by a dollar sign; what is not set is a mistake."""
    if isinstance(value, dict):
        return {name: expanded(one, (*place, str(name)), mistakes) for name, one in value.items()}
    if isinstance(value, list):
        return [expanded(one, (*place, str(number)), mistakes) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None:
            return "$"
        if name not in os.environ:
            mistakes.append(f"{'.'.join(place)}: the environment variable {name!r} is not set")
            return ""
        return os.environ[name]

    return VARIABLE.sub(replace, value)
