"""Lists of hosts and domains as people have them: which lines there are, what they name, and how many of each form.

Understood are plain hosts, hosts in URLs without a path, with ports, in brackets, `*.site` and `.site`, lines of hosts
files (`0.0.0.0 site other`), of Adblock lists (`||site^`), of dnsmasq (`address=/site/0.0.0.0`), of unbound
(`local-zone: "site" always_nxdomain`) and of response policy zones (`site CNAME .`), and comments in front of and
behind entries. What names no host at all (headers, rules for parts of pages, local names of hosts files) is counted
and left out. Refused, with the file and the line: what is not UTF-8, a URL with a path, exceptions, regular
expressions, mail addresses (their hosts have other users), words with a key (`full:site`), and whatever is no host.
"""

import ipaddress
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..corpus.given_files import given_lines, read_given
from ..corpus.hosts import host_of, split_url
from ..corpus.store.errors import RequestError
from ..corpus.store.shards import checksum, fingerprint

_HOST = re.compile(r"(?!-)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_BEHIND = re.compile(r"\s+(?:#|//|;|!).*$")
_LOCAL = {"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0", "127.0.0.1", "::1"}
_ADBLOCK = re.compile(r"\|\|(?:\*\.)?([^/^$|*]+)(?:\^?\|?)(?:\$(.*))?")
_DNSMASQ = re.compile(r"(?:address|server|local)=/([^/]+)/\S*")
_UNBOUND = re.compile(r"local-zone:\s*\"?([^\s\"]+)\"?\s+\S+")
_POLICY = re.compile(r"(\S+)\s+(?:\d+\s+)?(?:IN\s+)?CNAME\s+\S+", re.I)
_KEYED = re.compile(r"([A-Za-z]+):[^:\d/\[][^/]*")  # of lists of routers: `domain:site`, `full:site`, `keyword:word`
NOTHING = "no hosts (left out)"


@dataclass
class HostList:
    """What a file holds: hosts in the form that they are compared in, how many lines of each form, and warnings."""

    hosts: list[str] = field(default_factory=list)
    forms: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


def list_lines(path: str) -> Iterator[tuple[int, str]]:
    """(number, line) of a list file, but for blank lines and comments."""
    for number, line in enumerate(given_lines(read_given(path, f"URL list {path}")), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield number, entry


def read_hosts(path: str) -> HostList:
    """The hosts of a file; a RequestError names the line that cannot be understood."""
    found = HostList()
    for number, line in list_lines(path):
        form, names = _entry(_BEHIND.sub("", line), f"URL list {path}, line {number}")
        if names is None:
            continue
        found.forms[form] += 1
        for name in names:
            host = host_of(name)
            if not host or (":" not in host and not _HOST.fullmatch(host)):
                raise RequestError(f"URL list {path}, line {number}: {line!r} names no host")
            if "." not in host and ":" not in host:
                found.warnings.append(f"{path}, line {number}: {line!r} has no dot and can match no site of the web")
            found.hosts.append(host)
    return found


def _entry(line: str, where: str) -> tuple[str, list[str] | None]:
    """The form of a line and the hosts that it names; None for a comment."""
    if line.startswith(("!", ";", "//")):
        return "", None
    if re.fullmatch(r"\[[^\]:\"',]*\]", line) or re.search(r"#[@?$%]?#|^\$|^@ |^server:", line):
        return NOTHING, []
    if line.startswith("@@"):
        raise RequestError(f"{where}: {line!r} is an exception; name its site in an allow list")
    if match := _ADBLOCK.fullmatch(line):
        if match[2] and re.search(r"(?:^|,)(?:domain|from|to)=", match[2]):
            raise RequestError(f"{where}: {line!r} is a rule for some pages alone; a list has hosts")
        return "Adblock", [match[1]]
    for form, pattern in (("dnsmasq", _DNSMASQ), ("unbound", _UNBOUND), ("policy zone", _POLICY)):
        if match := pattern.fullmatch(line):
            return form, [_without_star(match[1])]
    words = line.split()
    if len(words) > 1:
        if not _is_address(words[0]):
            raise RequestError(f"{where}: {line!r} is neither a host nor a line of a hosts file")
        names = [name for name in words[1:] if name.lower() not in _LOCAL and not name.lower().startswith("ip6-")]
        return ("hosts file", names) if names else (NOTHING, [])
    return _single(line, where)


def _single(line: str, where: str) -> tuple[str, list[str]]:
    if line.startswith(("*.", ".")):
        return "wildcard", [_without_star(line)]
    if _is_network(line):
        raise RequestError(f"{where}: {line!r} is a range of addresses; a list has hosts, each on a line of its own")
    parts = split_url(line)
    if "*" in line or line.startswith(("/", "|", "^")) or parts is None:
        raise RequestError(f"{where}: {line!r} is a pattern; a list has hosts")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise RequestError(f"{where}: {line!r} is a URL, which --block-urls and --allow-urls take")
    if "//" not in line and "@" in line:  # its host has other users
        raise RequestError(f"{where}: {line!r} is an address of a person; a list has hosts")
    if (keyed := _KEYED.fullmatch(line)) and not _is_address(line):
        raise RequestError(f"{where}: {line!r} has {keyed[1]}: in front; write the host alone")
    return ("URL" if "/" in line else "plain"), [line]


def _without_star(name: str) -> str:
    return name.removeprefix("*").removeprefix(".")


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_network(word: str) -> bool:
    address, slash, bits = word.partition("/")
    return bool(slash) and bits.isdigit() and _is_address(address.strip("[]"))


def lists_checksum(folder: str) -> str:
    """Fingerprint of every file of a collection."""
    if not os.path.isdir(folder):
        raise RequestError(f"URL lists: {folder} is not a folder with a folder per category")
    names = sorted(os.path.join(here, name) for here, _, files in os.walk(folder) for name in files)
    return fingerprint([(os.path.relpath(name, folder), checksum(name)) for name in names])
