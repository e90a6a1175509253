"""The dataset card: front matter that the Hugging Face Hub reads, and the figures in words. Refuses nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from ...corpus.store.workspace import Workspace
from .figures import CORPUS, Figure
from .processing import artefacts
from .settings import CardSettings
from .summary import table

if TYPE_CHECKING:
    from .streams import Stream

SIZES = (  # documents below -> the Hub's name of the range
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)
LICENCES = re.compile(r"[a-z0-9.+-]+")
SHOWN = 50  # rows of a table in the card; figures.json has all


def front_matter(
    settings: CardSettings, found: Mapping[str, Figure], tables: Mapping[str, Sequence[str]], whole: bool
) -> dict[str, Any]:
    """The YAML of the card. `whole`: the folder holds the workspace's own tables, and `documents` is the default."""
    own = settings.dataset
    documents = found["size"].table()[0]["documents"]
    languages = [row["language"] for row in found["languages"].table()]
    told: dict[str, Any] = {
        "pretty_name": own.name,
        "language": [name for name in languages if name and re.fullmatch(r"[a-z]{2,3}", name) and name != "und"]
        or None,
        "size_categories": [next((name for most, name in SIZES if documents < most), "n>1T")],
        "task_categories": ["text-generation"],
        "tags": ["gristmill", "croissant"],
    }
    licence = (own.license or "").lower()
    if own.license and LICENCES.fullmatch(licence):
        told["license"] = licence
    elif own.license:
        told |= {"license": "other", "license_name": "see-link", "license_link": own.license}
    names = sorted(tables, key=lambda name: (name != "documents", name)) if whole else sorted(tables)
    told["configs"] = [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": sorted(tables[name])}],
            **({"default": True} if place == 0 else {}),
        }
        for place, name in enumerate(names)
        if tables[name]
    ]
    return {key: value for key, value in told.items() if value is not None}


def dataset_card(
    workspace: Workspace,
    settings: CardSettings,
    found: Mapping[str, Figure],
    front: Mapping[str, Any],
    stream: "Stream | None",
    gaps: Sequence[tuple[str, str, str]],
    sealed: Sequence[str],
) -> str:
    """README.md. `sealed`: lines on the log of removals, with its head."""
    own = settings.dataset
    size = found["size"].table()[0]
    lines = ["---", yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True).strip(), "---", ""]
    lines += [f"# {own.name or 'Dataset'}", ""]
    if own.description:
        lines += [own.description, ""]
    lines += [f"{size['documents']:,} documents, {size['bytes'] or 0:,} bytes of text."]
    if size["tokens"] is not None:
        of = f", of which the {stream.kind} `{stream.name}` draws {size['drawn']:,}" if stream else ""
        lines[-1] = lines[-1][:-1] + f", {size['tokens']:,} tokens{of}."
    if stream is not None and stream.changed:
        lines += ["", f"The tokens of {', '.join(stream.changed)} are others now than those that it was made for."]
    lines += ["", "`percent` is the share of training tokens (of bytes, where there are no tokens)."]
    lines += ["A document's share is the share of its domain, in proportion to its tokens.", ""]
    for name in ("sources", "domains", "languages", "licences", "licence_classes", "licence_risk", "fates"):
        lines += _section(found[name])
    lines += ["## Personal data and safety", ""]
    lines += _section(found["masked"], 3) if found["masked"].rows else ["Nothing was masked.", ""]
    files = artefacts(workspace)
    lines += ["### Lists, models and fitted artefacts, with their hashes", ""]
    lines += [*(table(files) if files else ["None."]), ""]
    lines += ["## Removals", ""]
    lines += [*(sealed or ["Nothing was removed on request."]), ""]
    if found["removed"].rows:
        lines += _section(found["removed"], 3)
    lines += ["## What is not known", ""]
    lines += [
        *[f"- {title} ({field}): {why}" for field, title, why in gaps],
        *([] if gaps else ["Nothing is missing."]),
        "",
    ]
    lines += ["## How to compute the figures again", "", "`gristmill card --check` runs every query again."]
    lines += ["All of them read `corpus`, which is:", "", "```sql", CORPUS.strip(), "```", ""]
    return "\n".join(lines)


def _section(figure: Figure, level: int = 2) -> list[str]:
    rows = figure.table()
    lines = [f"{'#' * level} {figure.title}", "", *(table(rows[:SHOWN]) if rows else ["None."]), ""]
    if len(rows) > SHOWN:
        lines += [f"and {len(rows) - SHOWN:,} more in figures.json", ""]
    return [*lines, "<details><summary>SQL</summary>", "", "```sql", figure.sql, "```", "", "</details>", ""]
