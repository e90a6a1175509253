"""The line before each record of an ARC file (versions 1 and 2), also where a writer filled its fields oddly.

`URL IP-address Archive-date Content-type Archive-length`, in version 2 with result, checksum, location, offset and
file name before the length (Internet Archive, Arc File Format, 1996). The URL may hold spaces, the address be IPv6,
`-` or `0`, the date `-` or `0`, the type empty. A line that states no length is none.
"""

import re

SCHEME = rb"[a-z][a-z0-9+.-]{0,30}:"
ADDRESS = rb"(?:\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-f]*:[0-9a-f:.]*(?:%[\w.-]+)?\]?)"
END = rb" (?:\S[^\r\n]* |[ ]*)(\d{1,18})[ \t]*\r*\n"
# a line that is recognised anywhere: a real address, or a real date
SURE = re.compile(
    rb"(" + SCHEME + rb"[^\r\n]{0,8000}?) "
    rb"(?:(" + ADDRESS + rb") (\d{12,17}|-|0)|(\S{1,60}) (\d{14}))" + END,
    re.IGNORECASE,
)
# one that is recognised where a record has to begin
LIKELY = re.compile(rb"(" + SCHEME + rb"[^\r\n]{0,8000}?) (" + ADDRESS + rb"|-|0) (\d{1,17}|-)" + END, re.IGNORECASE)
LOOSE = re.compile(rb"(" + SCHEME + rb"[^\r\n]{0,8000}) (\S+) (\S+)" + END, re.IGNORECASE)
SCHEMES = rb"(?:https?|ftp|dns|filedesc|warcinfo|whois|metadata|gopher):"
KNOWN = re.compile(SCHEMES, re.IGNORECASE)
ANYWHERE = (  # for a search in running bytes
    rb"(?<=\n)" + SCHEMES + rb"[^\r\n]{0,3000}? "
    rb"(?:" + ADDRESS + rb" (?:\d{12,17}|-|0)|\S{1,60} \d{14}) (?:\S[^\r\n]{0,900} |[ ]*)\d{1,18}[ \t]*\r*\n"
)


def begins(line: bytes) -> bool:
    """Whether these bytes begin with the line of a record."""
    return bool(SURE.match(line) or LIKELY.match(line))


def parse_line(line: bytes) -> dict[str, str] | None:
    """The fields of a record line by the names that WARC gives them; None where it is none.

    `arc-content-type` is what the line says of the content; `content-type` says how it is stored.
    """
    found = SURE.match(line) or LIKELY.match(line) or LOOSE.match(line)
    if not found:
        return None
    *parts, length = (part for part in found.groups() if part is not None)
    url, address, date = (_decode(part) for part in parts)
    date_end = max(found.end(group) for group in range(1, len(found.groups())))
    kind = line[date_end : found.start(len(found.groups()))].strip().split(b" ")[0]
    lower = url.lower()
    return {
        "warc-type": "warcinfo" if lower.startswith(("filedesc:", "warcinfo:")) else "response",
        "warc-target-uri": url,
        "warc-ip-address": address,
        "warc-date": date,
        "content-type": "application/http; msgtype=response" if lower.startswith("http") else _decode(kind),
        "arc-content-type": _decode(kind).lower(),
        "content-length": length.decode(),
    }


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
