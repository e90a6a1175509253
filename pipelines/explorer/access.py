"""Who may ask the explorer, and what its answers may do in a browser.

Only the machine itself is answered: the server binds to loopback, every address begins with a token drawn at the start,
and a request whose Host is another name is refused, so that a page of the web that resolves its own name to this
machine learns nothing. Answers carry a policy under which no script, style or picture but the package's own is run or
loaded, so that text of a crawl stays text even where it should reach a page unescaped.
"""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
NAMES = ("127.0.0.1", "localhost", "[::1]")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def new_token() -> str:
    """22 characters that nobody guesses."""
    return secrets.token_urlsafe(16)


class Access:
    """The application behind its checks."""

    def __init__(self, application: Application, token: str) -> None:
        self.application, self.token = application, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self._refused(scope)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                held = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"cache-control"]
                message["headers"] = [*held, *HEADERS]
            await send(message)

        if refused is None:
            await self.application(scope, receive, answered)
            return
        status, words = refused
        told = [(b"content-type", b"text/plain; charset=utf-8")]
        await answered({"type": "http.response.start", "status": status, "headers": told})
        await answered({"type": "http.response.body", "body": words.encode()})

    def _refused(self, scope: Message) -> tuple[int, str] | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}
        host = headers.get(b"host", "")
        name, _, port = host.rpartition(":") if ":" in host and not host.endswith("]") else (host, "", "")
        if name not in NAMES or (port and not port.isdecimal()):
            return 421, "The explorer answers at 127.0.0.1, localhost and [::1] alone.\n"
        given = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            return 403, "The address has to begin with the token that gristmill explore printed.\n"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "Pages are read, and rule files are saved; nothing else is done here.\n"
        if scope["method"] == "POST" and not self._own(headers, host):
            return 403, "A file is saved only from a page of the explorer itself.\n"
        return None

    def _own(self, headers: dict[bytes, str], host: str) -> bool:
        """Whether the request comes from a page of this server."""
        if headers.get(b"sec-fetch-site", "same-origin") != "same-origin":
            return False
        return headers.get(b"origin", "") == f"http://{host}"
