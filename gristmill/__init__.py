"""gristmill: raw web crawl in, a data mixture proven to train a better model out.

::

    import gristmill as gm

    ws = gm.Workspace("crawl")
    ws.extract("CC/*.warc.gz", domain="web").filter(rules="fineweb").dedup()
    ws.documents().to_parquet("kept/")

A `Workspace` has a method for every command, with the command's own settings. The pieces need no workspace: `extract`,
`language`, `signals`, `decide`, `duplicates`, `pii`, `fit_mixture`. Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.calls import Result as Result
    from gristmill.corpus.store.errors import RequestError as RequestError
    from gristmill.corpus.store.errors import WorkspaceError as WorkspaceError
    from gristmill.documents import Documents as Documents
    from gristmill.pieces import Page as Page
    from gristmill.pieces import decide as decide
    from gristmill.pieces import duplicates as duplicates
    from gristmill.pieces import extract as extract
    from gristmill.pieces import fit_mixture as fit_mixture
    from gristmill.pieces import language as language
    from gristmill.pieces import pii as pii
    from gristmill.pieces import signals as signals
    from gristmill.recipes import Recipe as Recipe
    from gristmill.workspaces import Workspace as Workspace

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
