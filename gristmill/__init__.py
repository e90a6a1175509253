"""gristmill: raw web crawl in, a data mixture proven to train a better model out.

    import gristmill as gm

    ws = gm.Workspace("crawl")
    ws.extract("CC/*.warc.gz", domain="web").filter(rules="fineweb").dedup()
    ws.documents().to_parquet("kept/")

A `Workspace` has a method for every command, with the command's own settings. The pieces need no workspace: `extract`,
`language`, `signals`, `decide`, `duplicates`, `pii`, `fit_mixture`. Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import Result as Result
    from .corpus.store.errors import RequestError as RequestError
    from .corpus.store.errors import WorkspaceError as WorkspaceError
    from .documents import Documents as Documents
    from .pieces import Page as Page
    from .pieces import decide as decide
    from .pieces import duplicates as duplicates
    from .pieces import extract as extract
    from .pieces import fit_mixture as fit_mixture
    from .pieces import language as language
    from .pieces import pii as pii
    from .pieces import signals as signals
    from .recipes import Recipe as Recipe
    from .workspaces import Workspace as Workspace

    __version__: str

_PLACES = {
    "RequestError": "corpus.store.errors",
    "WorkspaceError": "corpus.store.errors",
    "Result": "calls",
    "Documents": "documents",
    "Recipe": "recipes",
    "Workspace": "workspaces",
    **dict.fromkeys(("Page", "decide", "duplicates", "extract", "fit_mixture", "language", "pii", "signals"), "pieces"),
}
__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("gristmill")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
