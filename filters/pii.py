"""Personal data in texts: found by shape and checksum, and replaced by tokens that depend on nothing but the match.

Kinds: e-mail, public IP address, phone number, IBAN (checksum), payment card (Luhn and issuer prefix), API key (the
prefixes that issuers document). What is found are spans of characters; `replaced` puts `<EMAIL>` and the like in their
place, or `<EMAIL:3f2a9c>` with a keyed digest, so that equal data stay equal and the order of documents is irrelevant.
Names of persons and addresses are not looked for. Private, loopback and documentation addresses are left alone, and so
is a dotted number that follows `version`, `v` or the like.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

KINDS = ("email", "ip", "phone", "iban", "card", "api_key")


@dataclass(frozen=True, order=True)
class Span:
    """A find, in characters."""

    start: int
    end: int
    kind: str


_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_])?@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![\w@-]|\.[A-Za-z]|\()"
)
_IPV4 = re.compile(r"(?<![\w.+-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d|/\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){0,6}(?![\w:.])")
_VERSION = re.compile(r"(?:version|versions|ver|release|released|build|firmware|section|chapter|v|rev)[.:#\s]*$", re.I)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_CARD = re.compile(r"(?<![\d.-])(?:\d[ -]?){12,18}\d(?![\d.-]|\.\d)")
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?(?:\d{2,4}[ .-]?){2,4}\d{2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w/-]|\.\d)"
)
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}"
    r"|sk_(?:live|test)_[A-Za-z0-9]{20,}|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|AIza[0-9A-Za-z_-]{35}"
    r"|xox[abprs]-[0-9A-Za-z-]{20,}|glpat-[0-9A-Za-z_-]{20,}|hf_[A-Za-z]{30,}|npm_[A-Za-z0-9]{36})(?![A-Za-z0-9_-])"
)
_IBAN_LENGTHS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28 EE:20 "
    "EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IS:26 IT:27 JO:30 KW:30 "
    "KZ:20 LB:28 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 "
    "QA:29 RO:24 RS:22 SA:24 SE:24 SI:19 SK:24 SM:27 TN:24 TR:26 UA:29 VG:24 XK:20"
)
_IBAN_LENGTH = {pair[:2]: int(pair[3:]) for pair in _IBAN_LENGTHS.split()}


_BLOT = "\x00"


def find(text: str, kinds: tuple[str, ...] = KINDS) -> list[Span]:
    """Every find of these kinds, in order, without overlap."""
    order = [kind for kind in ("api_key", "email", "iban", "card", "ip", "phone") if kind in kinds]
    found: list[Span] = []
    rest, known = text, -1  # what is found is blotted out, so that no later kind reaches into it
    while known != len(found):  # and what it hid may show
        known = len(found)
        for kind in order:
            for start, end in list(FINDERS[kind](rest)):
                found.append(Span(start, end, kind))
                rest = rest[:start] + _BLOT * (end - start) + rest[end:]
    return sorted(found)


def counts(text: pa.Array) -> dict[str, pa.Array]:
    """How many finds of each kind every text has; null for a null text."""
    found = [None if words is None else [span.kind for span in find(words)] for words in text.to_pylist()]
    return {
        kind: pa.array([None if kinds is None else kinds.count(kind) for kinds in found], pa.int64()) for kind in KINDS
    }


def replaced(text: str, spans: list[Span], key: bytes | None = None) -> str:
    """The text with a token in the place of each find; with a key the token tells equal data from different ones."""
    parts: list[str] = []
    at = 0
    for span in spans:
        parts.append(text[at : span.start])
        digest = (
            hashlib.blake2b(text[span.start : span.end].encode(), key=key, digest_size=3).hexdigest() if key else ""
        )
        parts.append(f"<{span.kind.upper()}{':' + digest if digest else ''}>")
        at = span.end
    return "".join((*parts, text[at:]))


def luhn(digits: str) -> bool:
    """The checksum of payment cards."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def iban_is_valid(iban: str) -> bool:
    """Length of the country and remainder 1 modulo 97."""
    if _IBAN_LENGTH.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        local = match.group().partition("@")[0]
        last = match.group().rpartition(".")[2].lower()
        if ".." not in local and last not in _FILE_ENDINGS:
            yield match.span()


# what follows a dot in code and file names such as icon@2x.png or self@module.py, and is no top-level domain in use
_FILE_ENDINGS = {"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "json", "py", "java", "txt", "local"}


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            if _VERSION.search(text, max(0, match.start() - 12), match.start()):
                continue
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if (
                address.is_global
                and not address.is_multicast
                and match.group().count(".") + match.group().count(":") >= 3
            ):
                yield match.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _PHONE.finditer(text):
        if 8 <= sum(char.isdigit() for char in match.group()) <= 15:
            yield match.span()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        plain = match.group().replace(" ", "")
        length = _IBAN_LENGTH.get(plain[:2], 0)
        if length and len(plain) >= length and iban_is_valid(plain[:length]):
            seen = end = 0
            for end, char in enumerate(match.group(), 1):  # noqa: B007 (read after the loop)
                seen += char != " "
                if seen == length:
                    break
            yield match.start(), match.start() + end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", match.group())
        issued = re.match(
            r"4\d{12}(?:\d{3}){0,2}$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|6(?:011|5\d\d)\d{12}$", digits
        )
        if issued and luhn(digits) and len(set(digits)) > 1:
            yield match.span()


def _keys(text: str) -> Iterator[tuple[int, int]]:
    for match in _KEY.finditer(text):
        yield match.span()


FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "ip": _addresses,
    "phone": _phones,
    "iban": _ibans,
    "card": _cards,
    "api_key": _keys,
}
