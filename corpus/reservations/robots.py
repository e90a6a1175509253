"""robots.txt by RFC 9309, and the preferences that sites state in it: Content-Signal and Content-Usage.

Groups and product tokens are told apart here, as section 2.2.1 has it: a token ends at the first character that none
may have and is compared whole, without regard to case; groups of one token are one; lines that are neither a user agent
nor a rule part nothing. Which rule of a group is the most specific (section 2.2.2) is asked of Protego. A status of 4xx
allows everything, one of 5xx nothing (section 2.3.1); redirects are followed by whoever has the records.
Refuses nothing: a line that means nothing is passed over, as crawlers do.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..store.errors import MissingExtra

LIMIT = 500 << 10  # bytes of the file that are read, section 2.5
TOKEN = re.compile(r"[A-Za-z_-]+")
AGENTS = (  # product tokens of those who collect text to train on, and of those who say that they may use it so
    *(
        "GPTBot",
        "CCBot",
        "Google-Extended",
        "ClaudeBot",
        "anthropic-ai",
        "Claude-Web",
        "Applebot-Extended",
        "Bytespider",
    ),
    *("Meta-ExternalAgent", "FacebookBot", "Amazonbot", "cohere-ai", "AI2Bot", "Diffbot", "omgili", "PetalBot"),
)
USER_AGENT = ("user-agent", "useragent", "user agent")
DISALLOW = ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
SIGNAL, USAGE = ("content-signal", "content signal"), ("content-usage", "content usage")
_LINE = re.compile(r"[^\r\n]+")
_PLACE = re.compile(r"\s*(/\S*)\s+(\S.*)", re.DOTALL)


@dataclass
class AgentGroup:
    """Lines that stand under the same user agents: rules, and preferences with the paths that they are for."""

    rules: list[tuple[bool, str]] = field(default_factory=list)  # allow, pattern
    preferences: list[tuple[str, str, str]] = field(default_factory=list)  # signal or usage, pattern, value

    @cached_property
    def said(self) -> dict[str, list[tuple[bool, str]]]:
        """Once all lines are read: robots, signal, usage -> (allowed, pattern)."""
        found: dict[str, list[tuple[bool, str]]] = {"robots": self.rules, "signal": [], "usage": []}
        for kind, place, value in self.preferences:
            if (consent := trains(kind, value)) is not None:
                found[kind].append((consent, place))
        return found

    @cached_property
    def matchers(self) -> dict[str, Any]:
        """Protego's reading of each kind; None where there is nothing to read."""
        return {kind: parsed(rules) if rules else None for kind, rules in self.said.items()}

    def allows(self, kind: str, url: str) -> bool:
        """Whether the most specific of the lines of a kind that match a URL allows it; none: yes."""
        matcher = self.matchers[kind]
        return matcher is None or bool(matcher.can_fetch(url, "all"))


@dataclass(frozen=True)
class Robots:
    """One robots.txt as it was answered. `status` 200 where that is not known."""

    body: str
    status: int = 200

    @cached_property
    def groups(self) -> dict[str, AgentGroup]:
        """Product token in lower case, or `*` -> its lines."""
        found: dict[str, AgentGroup] = {}
        current: list[AgentGroup] = []
        ruled = True  # whether a rule came since the last user agent: the next one begins a group
        for line in _LINE.findall(self.body.removeprefix("\ufeff")[:LIMIT]):
            named = _directive(line)
            if named is None:
                continue
            name, value = named
            if name in USER_AGENT:
                current = [] if ruled else current
                ruled = False
                token = _token(value)
                if token is not None:
                    current.append(found.setdefault(token, AgentGroup()))
            elif name == "allow" or name in DISALLOW:
                ruled = True
                for group in current if value else ():
                    group.rules.append((name == "allow", value))
            elif name in SIGNAL or name in USAGE:
                kind = "signal" if name in SIGNAL else "usage"
                place = _PLACE.match(value)
                for group in current or ([found.setdefault("*", AgentGroup())] if kind == "signal" else []):
                    group.preferences.append((kind, place[1], place[2]) if place else (kind, "/", value))
        return found

    def group(self, agent: str) -> AgentGroup | None:
        """The lines that an agent is to obey: its own, else those for all."""
        return self.groups.get((_token(agent) or "").lower(), self.groups.get("*"))

    @cached_property
    def _distinct(self) -> dict[tuple[str, ...], list[tuple[str, AgentGroup]]]:
        return {}

    def heard(self, agents: Sequence[str]) -> list[tuple[str, AgentGroup]]:
        """(agent, the lines that it is to obey) of these agents; of several that obey the same, the first."""
        key = tuple(agents)
        if key not in self._distinct:
            found: dict[int, tuple[str, AgentGroup]] = {}
            for agent in key:
                if (group := self.group(agent)) is not None:
                    found.setdefault(id(group), (agent, group))
            self._distinct[key] = list(found.values())
        return self._distinct[key]

    def refusing(self, agents: Sequence[str], url: str) -> str | None:
        """The first of the agents that may not fetch a URL of this site; None where all may."""
        if 400 <= self.status < 500:
            return None
        if self.status >= 500:
            return agents[0] if agents else None
        return next((agent for agent, group in self.heard(agents) if not group.allows("robots", url)), None)

    def reserving(self, kind: str, agents: Sequence[str], url: str) -> str | None:
        """The first of the agents to which a preference (signal, usage) says that a URL is not to be trained on."""
        if not 200 <= self.status < 300:
            return None
        return next((agent for agent, group in self.heard(agents) if not group.allows(kind, url)), None)

    def refuses(self, agent: str, url: str) -> bool:
        """Whether an agent may not fetch a URL of this site."""
        return self.refusing([agent], url) is not None


def parsed(rules: Sequence[tuple[bool, str]]) -> Any:
    """Protego's reading of the rules (allow, pattern) of one group; ask it `can_fetch(url, "all")`."""
    try:
        from protego import Protego
    except ImportError as error:
        raise MissingExtra("protego", "urls") from error
    lines = "\n".join(f"{'Allow' if allow else 'Disallow'}: {pattern}" for allow, pattern in rules)
    return Protego.parse(f"User-agent: *\n{lines}\n")


def trains(kind: str, value: str) -> bool | None:
    """What a list of preferences says of training: `ai-train=no` (signal), `train-ai=n` (usage); None: nothing."""
    name, no, yes = ("ai-train", "no", "yes") if kind == "signal" else ("train-ai", "n", "y")
    said = None
    for part in value.lower().split(","):
        key, _, told = part.partition(";")[0].partition("=")
        if key.strip() == name and told.strip().strip('"') in (no, yes):
            said = told.strip().strip('"') == yes
    return said


def _token(value: str) -> str | None:
    """The product token of a line: its letters, `-` and `_`; `*` for all, also where words follow it."""
    if value == "*" or re.match(r"\*\s", value):
        return "*"
    found = TOKEN.match(value)
    return found[0].lower() if found else None


def _directive(line: str) -> tuple[str, str] | None:
    """(name in lower case, value) of a line; a blank may stand where the colon was forgotten, as crawlers read it."""
    text = line.partition("#")[0].strip().strip("\0")
    if not text:
        return None
    if ":" in text:
        name, _, value = text.partition(":")
    else:
        name, _, value = text.partition(" ") if len(text.split()) == 2 else (text, "", "")
    return name.strip().lower(), value.strip()


def tokens_of(agents: Iterable[str]) -> list[str]:
    """The product tokens of names that were given."""
    return [token for agent in agents if (token := _token(agent.strip())) is not None]
