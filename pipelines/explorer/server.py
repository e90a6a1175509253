"""The pages of a workspace over HTTP, on loopback.

`answer` makes a page from its address and is all that the tests, the server and the written pages share. The workspace
is opened once for each state it is in. Whatever goes wrong with a request is said on the page, with the command that
mends it where there is one.
"""

import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pyarrow.parquet as pq

from ...corpus.store.errors import MissingExtra, RequestError, WorkspaceError
from ...corpus.store.workspace import Workspace
from ..report.text import escape
from .access import Access
from .made.facts import state_of
from .made.search import MOST
from .page import page, script, style_sheet
from .saving import save_rules
from .source import OpenWorkspace
from .tabs import PAGES
from .view import Exported, Reopened, View

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "svg": "image/svg+xml"}


@dataclass(frozen=True)
class PageAnswer:
    """What a request gets."""

    status: int
    body: bytes
    kind: str = "text/html; charset=utf-8"
    name: str = ""  # of the file, where it is one to keep
    location: str = ""


@dataclass
class Explorer:
    """A workspace that is shown, and others whose runs are shown beside it."""

    workspace: Workspace
    beside: tuple[Workspace, ...] = ()
    search_documents: int = MOST  # in how many documents words are looked for; 0: in all
    opened: OpenWorkspace | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self) -> OpenWorkspace:
        """The workspace in the state it is in now."""
        with self.lock:
            if self.opened is None or self.opened.state != state_of(self.workspace):
                self.opened = OpenWorkspace(self.workspace, self.beside)
                self.opened.search_documents = self.search_documents
            return self.opened

    def reopen(self, before: OpenWorkspace) -> None:
        """Open the workspace anew at the next request, unless that was done since."""
        with self.lock:
            if self.opened is before:
                self.opened = None

    def answer(self, path: str, params: Mapping[str, Sequence[str]], base: str = "/", **how: Any) -> PageAnswer:
        """The page of an address: `funnel`, `document/ID`, …; or the file that it asks for."""
        name, _, rest = path.partition("/")
        if name not in PAGES:
            return PageAnswer(302, b"", location=f"{base}funnel") if not name else self._lost(path, base)
        title, make = PAGES[name]
        params = {key: [one.encode("utf-8", "replace").decode() for one in values] for key, values in params.items()}
        view = None
        try:
            view = View(self.source(), path, params, **how)
            body = make(view, rest) if rest else make(view)
        except Reopened:
            if view is not None:
                self.reopen(view.source)
            return self.answer(path, params, base, **how)
        except Exported as export:
            return exported(view.source, export, view.one("format")) if view else PageAnswer(500, b"")
        except (RequestError, WorkspaceError) as error:
            return self._failed(view, path, title, str(error), base)
        except ImportError as error:
            if error.name is None:
                raise
            return self._failed(view, path, title, str(MissingExtra(error.name, "train")), base)
        if view.one("part"):
            return PageAnswer(200, body.encode())
        return PageAnswer(200, page(view, view.title or title, body, base, **view.frame).encode())

    def _failed(self, view: View | None, path: str, title: str, why: str, base: str) -> PageAnswer:
        said = f'<p class="warn" role="alert">{escape(why)}</p>'
        if view is None:
            return PageAnswer(409, f"<!doctype html><title>{escape(title)}</title>{said}".encode())
        view.queries.clear()
        if not view.one("part"):
            said = view.kept + said
        return PageAnswer(409, (page(view, title, said, base, **view.frame) if not view.one("part") else said).encode())

    def _lost(self, path: str, base: str) -> PageAnswer:
        said = (
            f"<!doctype html><title>Not there</title><p>There is no page {escape(path)}. "
            "<a "
            f'href="{escape(base)}">Back</a>'
        )
        return PageAnswer(404, said.encode())


def exported(source: OpenWorkspace, export: Exported, form: str) -> PageAnswer:
    """The rows of a query, or a drawing, as a file."""
    stem = f"{source.name}-{export.name}".replace(" ", "-").replace("/", "-")
    if form == "yaml":
        return PageAnswer(200, export.drawing.encode(), "application/yaml; charset=utf-8", f"{stem}.yaml")
    if form == "svg":
        drawing = export.drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        at = drawing.index(">") + 1
        styled = f"{drawing[:at]}<style>{style_sheet().replace('<', '&lt;')}</style>{drawing[at:]}"
        return PageAnswer(200, styled.encode(), TYPES[form], f"{stem}.svg")
    table = source.table(export.sql)
    if form == "csv":
        from ..commands.sql import as_csv, named_apart

        return PageAnswer(200, as_csv(named_apart(table)).encode(), TYPES[form], f"{stem}.csv")
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return PageAnswer(200, out.getvalue(), TYPES[form], f"{stem}.parquet")


def application(explorer: Explorer, token: str) -> Access:
    """The ASGI application, behind its checks. MissingExtra where Starlette is not installed."""
    try:
        from starlette.applications import Starlette
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("starlette", "explore") from error
    base = f"/{token}/"

    def answered(answer: PageAnswer) -> "Response":
        headers = {"location": answer.location} if answer.location else {}
        if answer.name:
            ascii_name = answer.name.encode("ascii", "replace").decode().replace('"', "?").replace("\\", "?")
            headers["content-disposition"] = f'attachment; filename="{ascii_name}"'
        return Response(answer.body, answer.status, headers, media_type=answer.kind)

    def show(request: "Request") -> "Response":
        params = parse_qs(request.url.query, keep_blank_values=True)
        return answered(explorer.answer(request.path_params["path"], params, base))

    def sheet(request: "Request") -> "Response":
        return Response(style_sheet(), media_type="text/css")

    def code(request: "Request") -> "Response":
        return Response(script(), media_type="text/javascript")

    async def save(request: "Request") -> "Response":
        form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        from starlette.concurrency import run_in_threadpool

        return answered(await run_in_threadpool(saved, explorer, form, base))

    routes = [
        Route(f"{base}explorer.css", sheet),
        Route(f"{base}explorer.js", code),
        Route(f"{base}save-rules", save, methods=["POST"]),
        Route(f"{base}{{path:path}}", show),
    ]
    return Access(Starlette(routes=routes), token)


def saved(explorer: Explorer, form: Mapping[str, Sequence[str]], base: str) -> PageAnswer:
    """Save the rule file that a form asks for, and say where."""
    view = View(explorer.source(), "signals", form)
    try:
        said = f"<p>{escape(save_rules(view))}</p>"
        status = 200
    except (RequestError, WorkspaceError) as error:
        said, status = f'<p class="warn" role="alert">{escape(error)}</p>', 409
    again = view.link("signals", signal=view.one("signal"), rule=view.one("rule"), t=view.one("t"))
    back = f'<p><a href="{again}">Back</a></p>'
    return PageAnswer(status, page(view, "Rule file", said + back, base).encode())


def serve(explorer: Explorer, token: str, port: int, told: Any) -> None:
    """PageAnswer on 127.0.0.1 until interrupted; `told` is called with the address once the port is bound."""
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("uvicorn", "explore") from error
    import socket

    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
    except OSError as error:
        raise RequestError(f"--port {port} cannot be used: {error.strerror}") from error
    explorer.source()
    config = uvicorn.Config(application(explorer, token), log_level="warning", access_log=False, lifespan="off")
    told(f"http://127.0.0.1:{held.getsockname()[1]}/{token}/funnel")
    uvicorn.Server(config).run(sockets=[held])
