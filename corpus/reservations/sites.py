"""What a site says of itself for machines, over time, and what that means for a URL of it.

robots.txt (RFC 9309) with Content-Signal and Content-Usage lines, ai.txt (Spawning), /.well-known/tdmrep.json (TDMRep,
W3C community group). A file of a site is that of its scheme, host and port; where a site has none for a scheme, that of
the other scheme counts. Of several answers the last one counts, or the last one before a document was captured.
Refuses nothing.
"""

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from urllib.parse import urljoin, urlsplit

from ..hosts import host_of, plain_url
from .robots import AgentGroup, Robots

FILES = {
    "/robots.txt": "robots",
    "/ai.txt": "ai.txt",
    "/.well-known/ai.txt": "ai.txt",
    "/.well-known/tdmrep.json": "tdm",
}
HOPS = 5  # redirects that are followed, RFC 9309 section 2.3.1.2
FOUND = 100_000  # answers that are remembered by site and time
SIGNALS = ("robots", "content-signal", "content-usage", "ai.txt", "tdm", "noai", "noindex")
ASKED = SIGNALS[:-1]  # noindex speaks of search engines, and counts where it is asked for


@dataclass(frozen=True)
class Answer:
    """What an address answered, once."""

    url: str
    status: int
    body: str
    date: datetime | None = None
    location: str | None = None

    @cached_property
    def robots(self) -> Robots:
        """It as a robots.txt."""
        return Robots(self.body, self.status)

    @cached_property
    def ai_rules(self) -> AgentGroup:
        """It as an ai.txt: the rules for all who train."""
        return self.robots.groups.get("*") or AgentGroup()

    @cached_property
    def tdm_rules(self) -> AgentGroup:
        """It as a tdmrep.json: (not reserved, location); none where it is no JSON of that form."""
        try:
            told = json.loads(self.body.removeprefix("\ufeff"))
        except ValueError:
            return AgentGroup()
        rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
        return AgentGroup(
            [
                (str(row["tdm-reservation"]) == "0", str(row["location"]))
                for row in rows
                if row.get("location") and row.get("tdm-reservation") in (0, 1, "0", "1")
            ]
        )


@dataclass
class Sites:
    """Answers by address, with what pages say in their heads: URL without scheme -> signals."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    pages: dict[str, dict[str, bool]] = field(default_factory=dict)  # signal -> whether the page reserves
    _found: dict[tuple[str, str, datetime | None], Answer | None] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        """Note an answer; equal ones are one."""
        held = self.answers.setdefault(address(answer.url), [])
        if answer not in held:
            bisect.insort(held, answer, key=_order)
            self._found.clear()

    def wanted(self) -> set[str]:
        """Addresses that redirects of site files lead to and that no answer is there for."""
        return {
            address(urljoin(one.url, one.location))
            for held in self.answers.values()
            for one in held
            if one.location and 300 <= one.status < 400
        } - self.answers.keys()

    def reserved(
        self,
        url: str,
        agents: Sequence[str],
        signals: Sequence[str] = ASKED,
        captured: datetime | None = None,
        page: str | None = None,
    ) -> str | None:
        """The signal that keeps a URL out of training, in words; None where none does.

        captured  take the answers of that time; None: the last ones
        page      what meta elements and X-Robots-Tag of the page say, as the column `robots` has it
        """
        for kind in signals:
            if kind in ("noai", "noindex"):
                said = directives(page) if page else set()
                if kind in said:
                    return f"{kind}: said by the page {url}"
            elif kind == "ai.txt":
                if (found := self.site(url, kind, captured)) and not found.ai_rules.allows("robots", url):
                    return _said(kind, found)
            elif kind == "tdm":
                if told := self._tdm(url, captured):
                    return told
            elif told := self._robots_says(kind, url, agents, captured):
                return told
        own = self.pages.get(plain_url(url) or "", {})
        return next((f"{kind}: said by the page {url}" for kind in signals if own.get(kind)), None)

    def _robots_says(self, kind: str, url: str, agents: Sequence[str], captured: datetime | None) -> str | None:
        found = self.site(url, "robots", captured)
        if found is None:
            return None
        robots = found.robots
        if kind != "robots":
            agent = robots.reserving(kind.removeprefix("content-"), agents, url)
            return _said(kind, found) if agent is not None else None
        agent = robots.refusing(agents, url)
        if agent is None:
            return None
        return _said(f"robots {agent if robots.status < 500 else f'status {robots.status}'}", found)

    def _tdm(self, url: str, captured: datetime | None) -> str | None:
        own = self.pages.get(plain_url(url) or "", {})
        if "tdm" in own:  # what stands with the page goes before what stands for the site
            return f"tdm: said by the page {url}" if own["tdm"] else None
        found = self.site(url, "tdm", captured)
        return _said("tdm", found) if found and not found.tdm_rules.allows("robots", url) else None

    def site(self, url: str, kind: str, captured: datetime | None = None) -> Answer | None:
        """The answer of a site's file that counts for a URL; redirects followed. None where there is none."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        key = (f"{parts.scheme}://{parts.netloc}".lower(), kind, captured)
        if len(self._found) > FOUND:
            self._found.clear()
        if key not in self._found:
            self._found[key] = self._look(parts.scheme.lower(), parts.netloc, kind, captured)
        return self._found[key]

    def _look(self, scheme: str, netloc: str, kind: str, captured: datetime | None) -> Answer | None:
        for other in (scheme, "https" if scheme == "http" else "http"):
            for path in (path for path, own in FILES.items() if own == kind):
                place, answer = f"{other}://{netloc}{path}", None
                for _ in range(HOPS + 1):
                    answer = self._at(place, captured)
                    if answer is None or not 300 <= answer.status < 400 or not answer.location:
                        break
                    place = urljoin(place, answer.location)
                if answer is None:
                    continue
                if 300 <= answer.status < 400:  # leads nowhere that is known, or in circles: unavailable
                    return Answer(answer.url, 404, "", answer.date)
                if kind == "robots" or answer.status == 200:
                    return answer
        return None

    def _at(self, place: str, captured: datetime | None) -> Answer | None:
        held = self.answers.get(address(place), [])
        if captured is None or not held:
            return held[-1] if held else None
        before = [one for one in held if one.date is None or one.date <= captured]
        return before[-1] if before else held[0]


def address(url: str) -> str:
    """A URL as answers are looked up by: scheme and host in lower case, no fragment, no default port."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme.lower())) else f":{parts.port}"
    path = parts.path or "/"
    return f"{parts.scheme.lower()}://{host_of(url)}{port}{path}" + (f"?{parts.query}" if parts.query else "")


def site_file(url: str) -> bool:
    """Whether a URL is that of a file by which sites speak to machines."""
    return urlsplit(url).path in FILES


def _order(answer: Answer) -> str:
    return answer.date.isoformat() if answer.date else ""


def directives(text: str) -> set[str]:
    """What a page says to all robots: words of `noai, nofollow`; those for a named robot count as well."""
    return {part.rpartition(":")[2].strip().lower() for part in text.split(",")}


def _said(kind: str, answer: Answer) -> str:
    day = f" of {answer.date:%Y-%m-%d}" if answer.date else ""
    return f"{kind}: {answer.url}{day}"
