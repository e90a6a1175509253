"""`gm.Recipe`: a mixture in tokens, from a search or a file. Refuses a file that is no recipe."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.calls import Result
    from gristmill.workspaces import Workspace


class Recipe:
    """A recipe at a path; `shares`, `epochs` and `content` are read from it."""

    def __init__(self, path: Any, workspace: "Workspace | None" = None, result: "Result | None" = None) -> None:
        from gristmill.mixing.recipe import load_recipe

        self.path, self.workspace, self.result = str(path), workspace, result
        self.content = load_recipe(self.path)

    @property
    def shares(self) -> dict[str, float]:
        """domain -> share of the run's tokens."""
        return self.content.run_shares()

    @property
    def epochs(self) -> dict[str, float]:
        """domain -> passes over its tokens."""
        return self.content.epochs()

    def export(self, to: str, output: Any, data: bool = True, **named: Any) -> dict[str, Any]:
        """Write it as a trainer takes it, with its data where it came from a workspace. `gristmill recipe export`."""
        from gristmill.mixing.exporters.frame import ExportJob
        from gristmill.mixing.exporters.registry import export_recipe

        held = self.workspace.held if data and self.workspace is not None else None
        return export_recipe(to, ExportJob(self.content, str(output), held, **named)).told()

    def __repr__(self) -> str:
        return f"gristmill.Recipe({self.path!r}: {', '.join(f'{n} {s:.3f}' for n, s in self.shares.items())})"
