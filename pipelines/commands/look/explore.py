"""`gristmill explore`."""

import sys
from typing import Annotated

import typer

from ....corpus.store.errors import RequestError
from ..options import WorkspaceOption, open_workspace


def explore(
    workspace: WorkspaceOption,
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="workspace whose runs and recipe are shown as well; may be repeated"),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="port on 127.0.0.1; 0: one that is free")] = 0,
    static: Annotated[
        str | None, typer.Option("--static", help="write the pages into this folder instead, for a sample of documents")
    ] = None,
    documents: Annotated[
        int, typer.Option("--documents", min=0, help="--static: pages of single documents at most")
    ] = 200,
    search_documents: Annotated[
        int, typer.Option("--search-documents", min=0, help="documents in which words are looked for; 0: all")
    ] = 1_000_000,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open the address in a browser")] = False,
) -> None:
    """Look at a workspace in a browser: documents, signals and decisions.

    Serves pages on this machine alone, at an address that holds a token: the funnel, signals with thresholds that can
    be moved, documents with all that was decided and measured of them, duplicates side by side, the mixture, runs, a
    map and SQL. Writes nothing to the workspace but rule files that are asked for. What is counted is kept in the
    user's cache folder. Control-C ends it.

    Example: gristmill explore --workspace W --static PAGES
    """
    from ...explorer.access import new_token
    from ...explorer.made.facts import are_made
    from ...explorer.server import Explorer, serve

    others = tuple(open_workspace(url) for url in beside or ())
    shown = Explorer(open_workspace(workspace), others, search_documents)
    if not are_made(shown.workspace):
        sys.stderr.write("explore: counting every document once, for this state of the workspace\n")
    if static is not None:
        from ...explorer.static import write_pages

        told = write_pages(shown, static, documents)
        sys.stdout.write(f"explore: {told['pages']} pages in {told['output']}; open {told['first']}\n")
        return

    def say(address: str) -> None:
        sys.stdout.write(f"explore: {address}\n")
        sys.stdout.flush()
        if open_browser:
            import webbrowser

            webbrowser.open(address)

    if port and port < 1024:
        raise RequestError("--port below 1024 belongs to the system; give 0 or one above")
    serve(shown, new_token(), port, say)
