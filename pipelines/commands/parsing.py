"""What the text of an option means, where it is more than a value: NAME=PATH, NAME=NUMBER, 1/8, lists by comma.

Each refuses what it does not understand by the name of the option.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from ...corpus.store.errors import RequestError


def named_files(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """NAME=PATH, ... as a mapping; a RequestError for an entry that is none, or a name given twice."""
    named: dict[str, str] = {}
    for entry in given or []:
        name, equals, path = entry.partition("=")
        if not equals or not path or not name.isidentifier() or name in named:
            raise RequestError(f"{option} {entry!r}: give NAME=PATH, NAME of letters, digits and _, each once")
        named[name] = path
    return named


def labellers(option: str, given: Sequence[str]) -> dict[str, str]:
    """TAXONOMY=MODEL.bin entries as taxonomy -> model."""
    models: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not (name and equals and path) or name in models:
            raise RequestError(f"{option} {entry}: expected TAXONOMY=MODEL.bin, each taxonomy once")
        models[name] = path
    return models


def is_named(entry: str) -> bool:
    """Whether an entry is NAME=PATH, and not the path of a file that has `=` in it."""
    return "=" in entry and "/" not in entry.partition("=")[0] and not os.path.exists(entry)


def named_sets(option: str, given: Sequence[str]) -> dict[str, str]:
    """PATH or NAME=PATH entries; a path alone is named by its file."""
    named: dict[str, str] = {}
    for entry in given:
        name, path = entry.split("=", 1) if is_named(entry) else (PurePath(entry).stem, entry)
        if name in named:
            raise RequestError(f"two evaluation sets named {name!r}; name them apart: NAME=PATH")
        named[name] = path
    return named


def lists(option: str, given: Sequence[str]) -> dict[str, str]:
    """FILE or CATEGORY=FILE entries; a file alone is named by itself."""
    named: dict[str, str] = {}
    for entry in given:
        name, path = entry.split("=", 1) if is_named(entry) else (PurePath(entry).stem, entry)
        if name in named:
            raise RequestError(f"{option}: two lists named {name!r}: give CATEGORY=FILE")
        named[name] = path
    return named


def shares(option: str, entries: Sequence[str]) -> dict[str, float]:
    """NAME=NUMBER entries as name -> number, each name once."""
    from ...mixing.tables import named_numbers

    return named_numbers(entries, option)


def targets(option: str, entries: Sequence[str]) -> dict[str, float]:
    """NAME or NAME=WEIGHT entries as name -> weight."""
    return shares(option, [entry if "=" in entry else f"{entry}=1" for entry in entries])


def target_entries(option: str, entries: Sequence[str]) -> list[str]:
    """DOMAIN, FILE or NAME=FILE, with =WEIGHT or not; the settings take them apart, here they are only checked."""
    from ...mixing.target_names import target_entry, targets_of

    targets_of([target_entry(entry, option) for entry in entries], option)
    return list(entries)


def groups(option: str, entries: Sequence[str]) -> dict[str, list[str]]:
    """NAME=DOMAIN,DOMAIN,… entries as name -> domains."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, given = entry.partition("=")
        name, members = name.strip(), by_commas(option, given)
        if not equals or not name or not members:
            raise RequestError(f"{option} {entry}: expected NAME=DOMAIN,DOMAIN,…")
        if name in found:
            raise RequestError(f"{option} {entry}: {name} was given before; give each name once")
        found[name] = members
    return found


def compared(option: str, entries: Sequence[str]) -> dict[str, dict[str, float]]:
    """NAME:DOMAIN=SHARE,DOMAIN=SHARE,… entries as name -> domain -> share."""
    found: dict[str, dict[str, float]] = {}
    for entry in entries:
        name, colon, given = entry.partition(":")
        if not colon or not name.strip() or not given.strip():
            raise RequestError(f"{option} {entry}: expected NAME:DOMAIN=SHARE,DOMAIN=SHARE,…")
        if name.strip() in found:
            raise RequestError(f"{option} {entry}: {name.strip()} was given before; give each name once")
        found[name.strip()] = shares(f"{option} {name}:", given.split(","))
    return found


def by_commas(option: str, given: str) -> list[str]:
    """a,b,c as a list."""
    return [part.strip() for part in given.split(",") if part.strip()]


def fraction(option: str, given: str) -> float:
    """0.125, or 1/8."""
    top, slash, bottom = given.partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"{option} {given}: write a number as 0.125 or 1/8") from None


def path_or_none(option: str, given: str) -> str | None:
    """A path, or the word none."""
    return None if given == "none" else given


# name in a field's `cli` -> (whether the option may be repeated, what reads it)
PARSERS: dict[str, tuple[bool, Callable[[str, Any], Any]]] = {
    "named_files": (True, named_files),
    "labellers": (True, labellers),
    "named_sets": (True, named_sets),
    "lists": (True, lists),
    "shares": (True, shares),
    "targets": (True, targets),
    "target_entries": (True, target_entries),
    "groups": (True, groups),
    "compared": (True, compared),
    "by_commas": (False, by_commas),
    "fraction": (False, fraction),
    "path_or_none": (False, path_or_none),
}
