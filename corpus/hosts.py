"""The host of a URL and the URL itself, spelt in one way: what lists and opt-outs are compared by, on both sides.

A host is in lower case, in ASCII where it is international (IDNA), without user, port and final dot; an IPv6 address
in its shortest form, without brackets. Refuses nothing: what is no host is "".
"""

import ipaddress
import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .store.errors import MissingExtra

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|//")
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL, or of one without a scheme; None for what is none."""
    url = url.strip().replace("\\", "/")  # as browsers read it
    if _BARE_IPV6.fullmatch(url):
        url = f"[{url}]"
    try:
        return urlsplit(url if _SCHEME.match(url) else f"//{url}")
    except ValueError:
        return None


def host_of(url: str) -> str:
    """The host of a URL or of a host that stands alone; "" for none."""
    parts = split_url(url)
    host = unquote(parts.hostname or "").rstrip(".\u3002").lower() if parts else ""
    if ":" in host:
        try:
            return str(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            return ""
    if host.isascii():
        return host
    try:
        import idna
    except ImportError as error:
        raise MissingExtra("idna", "urls") from error
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""


def plain_url(url: str) -> str | None:
    """A URL without scheme, `www.`, port and fragment, its path escaped in one way; None for what is none."""
    host = host_of(url).removeprefix("www.")
    parts = split_url(url)
    if not host or parts is None:
        return None
    path = quote(unquote(parts.path or "/", errors="surrogateescape"), safe="/:@!$&'()*+,;=~", errors="surrogateescape")
    return (f"[{host}]" if ":" in host else host) + path + (f"?{parts.query}" if parts.query else "")
