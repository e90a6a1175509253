"""Personal data in texts: found by shape and checksum, and replaced by tokens that depend on nothing but the match.

Kinds: e-mail, public IP address, phone number (with a calling code, in national forms that nothing else has, or behind
a word such as `tel`), IBAN (checksum), payment card (Luhn and issuer prefix), API key (the prefixes that issuers
document, private keys, and what stands behind `api_key =`). What is found are spans of characters; `replaced` puts
`<EMAIL>` and the like in their place, or `<EMAIL:3f2a9c>` with a keyed digest, so that equal data stay equal and the
order of documents is irrelevant. Names of persons and addresses are not looked for. Private, loopback and documentation
addresses are left alone, and so is a dotted number that follows `version`, `v` or the like.
"""

import hashlib
import ipaddress
import itertools
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
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,34}(?![\w:.]|\.\d)")
_VERSION = re.compile(r"(?:version|versions|ver|release|released|build|firmware|section|chapter|v|rev)[.:#\s]*$", re.I)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_CARD = re.compile(r"(?<![\d.+-])(?:\d[ -]?){12,18}\d(?![\d.-]|\.\d)")
_SEP = r"[ .\-/\u00a0]"
_ABROAD = re.compile(  # +49 30 123456, 0033 1 23 45 67 89, (+44) 20 7946 0958, +44 (0)20 7946 0958, +4930123456
    rf"(?<![\w.+/-])(?:\+|00|(\()\+)[1-9]\d{{0,14}}(?(1)\))(?:{_SEP}?\(\d{{1,5}}\){_SEP}?\d{{1,8}})?"
    rf"(?:{_SEP}\d{{1,8}})*(?![\w-]|[./]\d)"
)
_AT_HOME = re.compile(
    r"(?<![\w.+/-])(?:(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1-)?\d{3}-\d{3}-\d{4}|(?:1\.)?\d{3}\.\d{3}\.\d{4}"
    r"|0[1-9](?:[ .-]\d\d){4}|(?<!\d[ -])0[1-9]\d{0,3}([ -])\d{3,4}\1\d{3,4}"
    r"|07\d{3} \d{6}|0\d{2,4}/ ?\d{4,8}(?:-\d{1,4})?"
    r"|\(0\d{1,4}\) ?\d{3,8}(?:[ -]\d{1,5})?|\(\d{2}\) ?9?\d{4}-\d{4}|1[3-9]\d-\d{4}-\d{4}"
    r"|8[ -]\(\d{3}\) ?\d{3}-\d\d-\d\d)(?![\w/-]|\.\d)"
)
_CALLED = re.compile(  # what follows such a word is a number in whatever form
    r"(?<!\w)(?:tel|t\u00e9l|telephone|t\u00e9l\u00e9phone|telefon|tel\u00e9fono|telefono|phone|mobile|cell|fax|whatsapp|hotline)"
    r"(?: no| number)?[.:]{0,2} ?(\(?\d[\d ().-]{5,17}\d)(?![\w/-]|\.\d)",
    re.I,
)
_DATE = re.compile(r"(?:19|20)\d\d[ .-]\d\d?[ .-]\d\d?|\d\d?[ .-]\d\d?[ .-](?:19|20)\d\d")
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:A[KS]IA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{20,}|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|AIza[0-9A-Za-z_-]{35}"
    r"|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{40,}|xox[abprs]-[0-9A-Za-z-]{20,}|glpat-[0-9A-Za-z_-]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"
    r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\d{8,10}:AA[A-Za-z0-9_-]{33}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})(?![A-Za-z0-9_-])"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ((?:[A-Z]{2,9} )?PRIVATE KEY)-----[A-Za-z0-9+/=\s:,.-]{64,8000}?-----END \1-----"
)
_NAMED_KEY = re.compile(
    r"(?:api[_-]?key|secret[_-]?(?:access[_-]?)?key|auth[_-]?token|access[_-]?token)[\"']?\s{0,2}[:=]\s{0,2}"
    r"[\"']?((?=[A-Za-z_+/=-]*\d)(?=[\d_+/=-]*[A-Za-z])[A-Za-z0-9_+/=-]{20,128})(?![A-Za-z0-9_+/=(.-])",
    re.I,
)
_IBAN_LENGTHS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28 EE:20 "
    "EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IS:26 IT:27 JO:30 KW:30 "
    "KZ:20 LB:28 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 "
    "QA:29 RO:24 RS:22 SA:24 SE:24 SI:19 SK:24 SM:27 TN:24 TR:26 UA:29 VG:24 XK:20 BI:27 DJ:27 FK:18 HN:28 IQ:23 LC:32 "
    "LY:25 MN:20 NI:28 OM:23 RU:33 SC:31 SD:18 SO:23 ST:25 SV:28 TL:23 VA:22 YE:30"
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


SPANS = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("kind", pa.string())]))


def spans(text: pa.Array) -> dict[str, pa.Array]:
    """Where the finds of every text are, in characters, in order; null for a null text."""
    found = [None if words is None else [vars(span) for span in find(words)] for words in text.to_pylist()]
    return {"found": pa.array(found, SPANS)}


def replaced(text: str, spans: list[Span], key: bytes | None = None) -> str:
    """The text with a token in the place of each find; with a key the token tells equal data from different ones."""
    parts: list[str] = []
    at = 0
    for span in spans:
        parts.append(text[at : span.start])
        parts.append(token(span.kind, text[span.start : span.end], key))
        at = span.end
    return "".join((*parts, text[at:]))


def token(kind: str, found: str, key: bytes | None = None) -> str:
    """What stands in the place of a find: `<EMAIL>`, or `<EMAIL:3f2a9c>` with a key."""
    digest = ":" + hashlib.blake2b(found.encode(), key=key[:64], digest_size=3).hexdigest() if key else ""
    return f"<{kind.upper()}{digest}>"


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
                and match.group().count(".") + match.group().count(":") >= 2
            ):
                yield match.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    found = [match.span() for match in _ABROAD.finditer(text) if _is_abroad(match.group())]
    for match in _AT_HOME.finditer(text):
        number = match.group()
        pairs = [int(pair) for pair in re.findall(r"\d\d", number)]
        counting = (
            len({b - a for a, b in itertools.pairwise(pairs)}) == 1 and pairs[1] == pairs[0] + 1
        )  # 01 02 03 04 05
        least, most = (9, 11) if match[1] else (8, 15)
        if least <= _digits(number) <= most and not counting:
            found.append(match.span())
    for match in _CALLED.finditer(text):
        if 7 <= _digits(match[1]) <= 15 and not _DATE.fullmatch(match[1]):
            found.append(match.span(1))
    end = -1
    for start, stop in sorted(found):
        if start >= end:
            yield start, stop
            end = stop


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _is_abroad(number: str) -> bool:
    """Whether what begins with + or 00 can be a phone number: calling code, length, and no amount or row of numbers."""
    plain = re.sub(r"\D", "", number.removeprefix("00"))
    groups = re.findall(r"\d+", number)
    if not 8 <= len(plain) <= 15 or plain[:2] in ("28", "83", "89") or len(set(plain[2:])) == 1:
        return False
    if number.startswith("00"):  # numbers with leading zeros stand in tables and dumps as well
        return len(groups) > 2 and len(groups[0]) < 6 and {len(group) for group in groups[:-1]} != {4}
    if re.fullmatch(r"\+\d+\.\d+", number) or (len(groups) > 1 and max(map(len, groups[1:])) == 1):
        return False
    thousands = len(groups) > 1 and all(len(group) == 3 for group in groups[1:])
    return not (thousands and (len(plain) < 10 or plain.endswith("000")))


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


_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)  # Visa, Mastercard, American Express, Discover, JCB, Diners, UnionPay


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", match.group())
        issued = _ISSUED.fullmatch(digits)
        if issued and luhn(digits) and len(set(digits)) > 1:
            yield match.span()


def _keys(text: str) -> Iterator[tuple[int, int]]:
    found = [match.span() for pattern in (_KEY, _PRIVATE_KEY) for match in pattern.finditer(text)]
    found += [match.span(1) for match in _NAMED_KEY.finditer(text)]
    end = -1
    for start, stop in sorted(found):
        if start >= end:
            yield start, stop
            end = stop


FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "ip": _addresses,
    "phone": _phones,
    "iban": _ibans,
    "card": _cards,
    "api_key": _keys,
}
