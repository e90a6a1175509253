"""What names a target: a held-out domain or a file, with a weight or without. Imports nothing heavy."""

import math
from collections.abc import Sequence

from ..corpus.readers.text_names import names_a_file, stem
from ..corpus.store.errors import RequestError


def target_entry(entry: str, option: str = "--target") -> tuple[str, str | None, float]:
    """(name, file or None, weight) of DOMAIN, DOMAIN=WEIGHT, FILE, FILE=WEIGHT, NAME=FILE or NAME=FILE=WEIGHT."""
    parts = [part.strip() for part in entry.split("=")]
    weight = 1.0
    if len(parts) > 1 and not names_a_file(parts[-1]):
        try:
            weight = float(parts[-1])
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight) or "_" in parts[-1]:
            raise RequestError(
                f"{option} {entry}: {parts[-1]!r} is not a finite number; expected NAME=NUMBER, FILE or NAME=FILE"
            )
        parts.pop()
    if not parts[0]:
        raise RequestError(f"{option} {entry}: expected NAME, NAME=NUMBER, FILE or NAME=FILE")
    if len(parts) > 1 and names_a_file("=".join(parts[1:])):
        return parts[0], "=".join(parts[1:]), weight
    whole = "=".join(parts)
    return (stem(whole), whole, weight) if names_a_file(whole) else (whole, None, weight)


def targets_of(
    entries: Sequence[tuple[str, str | None, float]], option: str
) -> tuple[dict[str, float], dict[str, str]]:
    """Weights by name, and files by name. Refuses a name that is there twice: two files of one stem need names."""
    weights: dict[str, float] = {}
    files: dict[str, str] = {}
    for name, path, weight in entries:
        if name in weights:
            told = f" (the files are {files[name]} and {path}; write NAME=FILE)" if path and name in files else ""
            raise RequestError(f"{option}: {name} was given before{told}; give each name once")
        weights[name] = weight
        if path is not None:
            files[name] = path
    return weights, files
