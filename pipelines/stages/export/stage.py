"""Write the recipe in the form of one trainer, as a section of a settings file asks."""

from typing import Any

from ....corpus.store.workspace import Workspace
from ....mixing.exporters.frame import ExportJob
from ....mixing.exporters.registry import export_recipe
from ....mixing.recipe import load_recipe
from ...engine.runner import RunnerOptions
from .settings import ExportSettings


def run_export(
    workspace: Workspace, settings: ExportSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Export; what the trainer will realise under `details`."""
    recipe = load_recipe(settings.recipe or workspace.path("mixture", "recipe.yaml"))
    data = workspace if settings.data else None
    made = export_recipe(
        settings.to, ExportJob(recipe, settings.output, data, batch=settings.batch, dialect=settings.dialect)
    )
    return {"stage": f"export to {settings.to}", "details": made.told()}
