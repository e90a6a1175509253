"""Cards: what leaves the house with a dataset or a model, each figure with its query.

Writes README.md (the dataset card), croissant.json, training-content.md and .json (the public summary) and figures.json
into a folder: that of the workspace, or one that `gristmill write` wrote. Refuses a recipe and a run at once, and a
workspace that is stale.
"""

import json
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ...corpus.plain_yaml import load_yaml
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import filesystem, replacing
from ...corpus.store.workspace import Workspace
from ..removals.log import told_in_card
from .croissant import croissant, files_of, left_out, tables_of
from .dataset_card import dataset_card, front_matter
from .figures import Figure, figures, recomputed
from .settings import CardSettings
from .summary import missing, rendered, summary

if TYPE_CHECKING:
    from .streams import Stream

FIGURES, CROISSANT, CARD = "figures.json", "croissant.json", "README.md"
SUMMARY = "training-content"


def load_card_settings(path: str | None) -> CardSettings:
    """A settings file; RequestError names what is wrong in it."""
    if path is None:
        return CardSettings()
    try:
        with open(path, encoding="utf-8") as file:
            return CardSettings.model_validate(load_yaml(file.read()) or {})
    except (OSError, yaml.YAMLError) as error:
        raise RequestError(f"--settings {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"--settings {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def stream_of(workspace: Workspace, recipe: str | None, run: str | None) -> "Stream | None":
    """What the sizes are weighted by; None: every document once."""
    if recipe is not None and run is not None:
        raise RequestError("--recipe and --run are two models; a card is of one")
    if recipe is None and run is None:
        return None
    from .streams import stream_of_recipe, stream_of_run

    if run is not None:
        return stream_of_run(workspace, run)
    assert recipe is not None
    return stream_of_recipe(workspace, recipe)


def make_card(
    workspace: Workspace, settings: CardSettings, stream: "Stream | None", data: str | None
) -> dict[str, Any]:
    """Write the cards. {place, files, missing: [field, title, what would tell], left_out: columns}."""
    place = data.rstrip("/") if data is not None else workspace.url
    tables = files_of(place) if data is not None else tables_of(workspace)
    found = figures(workspace, settings, stream)
    told = summary(workspace, settings, found, stream)
    gaps = missing(told) + _about_the_dataset(settings)
    front = front_matter(settings, found, tables, data is None)
    size = found["size"].table()[0]
    about = f"{size['documents']:,} documents, curated by gristmill."
    described = croissant(place, tables, settings, front.get("language", []), about)
    card = dataset_card(workspace, settings, found, front, stream, gaps, told_in_card(workspace))
    written = {
        CARD: card,
        CROISSANT: json.dumps(described, indent=1, ensure_ascii=False) + "\n",
        f"{SUMMARY}.md": rendered(told, found),
        f"{SUMMARY}.json": json.dumps(told, indent=1, ensure_ascii=False, default=str) + "\n",
        FIGURES: json.dumps([_told(one) for one in found.values()], indent=1, ensure_ascii=False, default=str) + "\n",
    }
    for name, text in written.items():
        with replacing(f"{place}/{name}") as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.write(text)
    return {
        "place": place,
        "files": sorted(written),
        "missing": [{"field": field, "title": title, "told_by": why} for field, title, why in gaps],
        "left_out": left_out(place, tables),
    }


def check_card(
    workspace: Workspace, settings: CardSettings, stream: "Stream | None", data: str | None
) -> dict[str, Any]:
    """Run the query of every figure of a card again. {figures: how many, others: those that are others now}."""
    place = data.rstrip("/") if data is not None else workspace.url
    fs, path = filesystem(f"{place}/{FIGURES}")
    if not fs.exists(path):
        raise WorkspaceError(f"{place} holds no {FIGURES}; run: gristmill card --workspace {workspace.url}")
    told = json.loads(fs.cat_file(path))
    return {"figures": len(told), "others": recomputed(told, figures(workspace, settings, stream))}


def _told(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "sql": figure.sql,
        "columns": list(figure.columns),
        "rows": [list(row) for row in figure.rows],
    }


def _about_the_dataset(settings: CardSettings) -> list[tuple[str, str, str]]:
    own = settings.dataset
    asked = {
        "name": "Name of the dataset",
        "license": "Licence of the dataset",
        "published": "Date of publication of the dataset",
        "version": "Version of the dataset",
        "cite_as": "Citation of the dataset",
    }
    return [(f"dataset.{name}", title, f"dataset.{name}") for name, title in asked.items() if not getattr(own, name)]
