"""Personal data in texts: found by shape and checksum, and replaced by tokens that depend on nothing but the match.

Kinds: e-mail, public IP address, phone number (see `phones.py`), IBAN (checksum), payment card (Luhn and issuer
prefix), API key (the prefixes that issuers document, private keys, and what stands behind `api_key =`). What is found
are spans of characters; `replaced` puts `<EMAIL>` and the like in their place, or `<EMAIL:3f2a9c>` with a keyed digest,
so that equal data stay equal and the order of documents is irrelevant. Names of persons and addresses are not looked
for. Private, loopback and documentation addresses are left alone, and so are dotted numbers that are versions: behind
`version` and its like in other languages, behind a product's name and a slash, object identifiers, and four numbers up
to 20 where nothing speaks of an address.

A find ends where no ASCII letter or digit goes on, so it may touch letters of other scripts. Digits, spaces, hyphens
and letters of full width, and those of other scripts and typographers, are read as the plain ones.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from .phones import phones

KINDS = ("email", "ip", "phone", "iban", "card", "api_key")


@dataclass(frozen=True, order=True)
class PiiSpan:
    """A find, in characters."""

    start: int
    end: int
    kind: str


# Top-level domains in other scripts than Latin, as delegated
_NATIVE = (
    "рф|рус|бел|укр|срб|мкд|бг|қаз|мон|ею|онлайн|сайт|орг|ком|дети|москва|католик|ελ|ευ|հայ|გე|ישראל|中国|中國|香港|澳门|"
    "澳門|台湾|台灣|新加坡|公司|网络|网址|在线|中文网|移动|商店|商城|政务|公益|我爱你|集团|世界|信息|娱乐|手机|游戏|"
    "企业|健康|招聘|时尚|广东|佛山|餐厅|八卦|みんな|コム|ストア|セール|グーグル|クラウド|ポイント|ファッション|한국|삼성|닷컴|닷넷|ไทย|"
    "คอม|ລາວ|भारत|भारतम्|भारोत|संगठन|कॉम|नेट|ভারত|বাংলা|ভাৰত|ਭਾਰਤ|ભારત|ଭାରତ|இந்தியா|இலங்கை|சிங்கப்பூர்|భారత్|ಭಾರತ|"
    "ഭാരതം|ලංකා|السعودية|امارات|مصر|قطر|عمان|الاردن|سورية|سودان|تونس|المغرب|فلسطين|الجزائر|العراق|مليسيا|ایران|"
    "پاکستان|بھارت|شبكة|موقع|بازار|كوم|عرب|همراه"
)
_SCRIPTS = "\u0370-\u052f\u0531-\u0587\u05d0-\u05ea\u0620-\u06d3\u0900-\u0dff\u10d0-\u10ff"
_LATIN = "A-Za-z0-9\u00c0-\u024f"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9.+%-])[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_])?@"
    rf"(?:{_LABEL}\.){{1,9}}(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}}|{_NATIVE})"
    r"(?![A-Za-z0-9@]|\.[A-Za-z]|_[A-Za-z0-9]|\()"
)
_HOST = rf"@(?:{_LABEL}\.){{1,9}}(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}}|{_NATIVE})(?![A-Za-z0-9@]|\.[A-Za-z]|\()"
_NATIVE_EMAIL = re.compile(  # the name before the @ in another script, or in Latin letters with diacritics
    rf"(?<![{_SCRIPTS}.+%-])[{_SCRIPTS}](?:[{_SCRIPTS}0-9._%+-]{{0,62}}[{_SCRIPTS}0-9_])?{_HOST}"
    rf"|(?<![{_LATIN}.+%-])(?=[A-Za-z0-9._%+-]{{0,62}}[\u00c0-\u024f])[{_LATIN}](?:[{_LATIN}._%+-]{{0,62}}[{_LATIN}_])?{_HOST}"
    rf"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{{1,16}}@(?:{_LABEL}\.){{1,9}}(?:{_NATIVE})"
)
_IPV4 = re.compile(r"(?<![A-Za-z0-9.+-])(?<![A-Za-z]/)(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9-]|\.\d|/\d\d\d)")
_IPV6 = re.compile(r"(?<![A-Za-z0-9.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,34}(?<=[0-9A-Fa-f:])(?![A-Za-z0-9:]|\.\d)")
_GROUP_BEFORE = re.compile(r"(?:::|(?:^|[^A-Za-z0-9])[0-9A-Fa-f]{1,4}:)$")  # groups before it
_VERSION = re.compile(
    r"(?:version|versions|versi\u00f3n|vers\u00e3o|versione|versie|wersja|verze|verzi\u00f3|s\u00fcr\u00fcm|versi|"
    r"phi\u00ean b\u1ea3n|ver|release|released|build|"
    r"firmware|update|patch|section|chapter|clause|oid|v|rev|верси[яию]|версії|обновление|ревизия|έκδοση|版本|版|バージョン|버전|"
    r"รุ่น|เวอร์ชัน|संस्करण|إصدار|الإصدار|نسخه|גרסה|\u00a7|chrome|firefox|safari|edg|opera|windows|linux|kernel|android|ios)"
    r"[.:#=\s]*$",
    re.I,
)
_ADDRESSED = re.compile(
    r"\b(?:ip|ipv4|address|host|server|dns|ping|proxy|gateway|адрес|сервер)|"
    "服务器|地址|アドレス|主机",
    re.I,
)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_SMALL_IBAN = re.compile(  # looked for where the text speaks of one
    r"(?<![A-Za-z0-9])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?(?![A-Za-z0-9])"
)
_CARD = re.compile(r"(?<![\d+])(?<!\d[.,-])(?:\d[ .-]?){12,40}\d")
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:A[KS]IA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{20,}|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|AIza[0-9A-Za-z_-]{35}"
    r"|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{40,}|xox[abprs]-[0-9A-Za-z-]{20,}|glpat-[0-9A-Za-z_-]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"
    r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\d{8,10}:AA[A-Za-z0-9_-]{33}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})(?![A-Za-z0-9_-])"
)
_PRIVATE_KEY = re.compile(  # line ends may be spelt `\n`, as in JSON; where the end is lost, lines of base64 are taken
    r"-----BEGIN ((?:[A-Z]{2,9} )?PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?:[A-Za-z0-9+/=\s:,.()-]|\\[nr]){64,12000}?-----END \1-----"
    r"|(?:(?:\s|\\[nr]){0,4}[A-Za-z0-9+/]{40,80}={0,2})+)"
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
_ROUNDS = 4  # a find may hide another one behind its edge; more than twice in a row was not seen
# one character for one: what is read as a plain digit, letter, space or hyphen
_PLAIN = {0x3000: " ", 0xA0: " ", 0x202F: " ", 0x2007: " ", 0x2009: " ", 0x200A: " ", 0x2002: " ", 0x2003: " "}
_PLAIN |= {0x2010: "-", 0x2011: "-", 0x2212: "-", 0xFE63: "-", 0x30FB: "\u30fb"}
_PLAIN |= {point: chr(point - 0xFEE0) for point in range(0xFF01, 0xFF5F)}
_PLAIN |= {first + digit: str(digit) for first in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0x1040) for digit in range(10)}
_UNPLAIN = re.compile("[" + "".join(map(chr, sorted(_PLAIN))) + "]")


def plain_form(text: str) -> str:
    """The text as it is searched, of the same length: digits, spaces, hyphens and full-width letters made plain."""
    return text.translate(_PLAIN) if not text.isascii() and _UNPLAIN.search(text) else text


def find(text: str, kinds: tuple[str, ...] = KINDS) -> list[PiiSpan]:
    """Every find of these kinds, in order, without overlap."""
    order = [kind for kind in ("api_key", "email", "iban", "card", "ip", "phone") if kind in kinds]
    found: list[PiiSpan] = []
    rest = plain_form(text)  # what is found is blotted out, so that no later kind reaches into it
    for _ in range(_ROUNDS):
        known = len(found)
        for kind in order:
            spans = list(FINDERS[kind](rest))
            found += [PiiSpan(start, end, kind) for start, end in spans]
            rest = _blotted(rest, spans)
        if known == len(found):
            break
    return sorted(found)


def _blotted(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with these spans, which do not overlap, made unreadable."""
    if not spans:
        return text
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], _BLOT * (end - start)]
        at = end
    return "".join((*parts, text[at:]))


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


def replaced(text: str, spans: list[PiiSpan], key: bytes | None = None) -> str:
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
    if iban[2:4] in ("00", "01", "99"):  # no remainder gives these
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" not in text:
        return
    matches = _EMAIL.finditer(text)
    if not text.isascii():
        matches = sorted([*matches, *_NATIVE_EMAIL.finditer(text)], key=lambda match: (match.start(), -match.end()))
    reached = -1
    for match in matches:
        if match.start() < reached:
            continue
        local = match.group().partition("@")[0]
        last = match.group().rpartition(".")[2].lower()
        fetched = local == "git" and text[match.end() : match.end() + 1] in (":", "/")  # git@host:path, a repository
        if ".." not in local and last not in _FILE_ENDINGS and not fetched:
            yield match.span()
            reached = match.end()


# what follows a dot in code and file names such as icon@2x.png or self@module.py, and is no top-level domain in use
_FILE_ENDINGS = {"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "json", "py", "java", "txt", "local"}


_DOTTED, _COLON = re.compile(r"\d\.\d{1,3}\.\d"), re.compile("[0-9A-Fa-f]:")  # in every IPv4 and IPv6 address


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    found = []
    for pattern, within in ((_IPV4, _DOTTED), (_IPV6, _COLON)):
        for match in pattern.finditer(text) if within.search(text) else ():
            start, end = match.span()
            if text[end - 1] == ":" and text[end - 2] != ":":
                end -= 1  # a colon behind it
            if _is_address(text, start, end):
                found.append((start, end))
    yield from sorted(found)


_RESOLVERS = {"8.8.4.4", "1.0.0.1", "1.1.1.2", "1.1.1.3", "4.2.2.1", "4.2.2.2", "4.2.2.3", "4.2.2.4"}  # well known


def _is_address(text: str, start: int, end: int) -> bool:
    """Whether a dotted number or a row of hexadecimal ones is a public address, and no version or identifier."""
    given = text[start:end]
    if _VERSION.search(text, max(0, start - 16), start) or (
        ":" in given and text[start - 1 : start] == ":" and _GROUP_BEFORE.search(text, max(0, start - 6), start)
    ):
        return False
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or given.count(".") + given.count(":") < 2:
        return False
    if address.version == 6:
        return True
    parts = [int(part) for part in given.split(".")]
    if parts[2:] == [0, 0] or parts[:3] in ([1, 3, 6], [2, 5, 4], [2, 5, 29], [1, 2, 840]):
        return False
    small = max(parts) <= 20 and len(set(parts)) > 1 and given not in _RESOLVERS
    return not small or _ADDRESSED.search(text, max(0, start - 24), start) is not None


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    small = _SMALL_IBAN.finditer(text) if "iban" in text.lower() else ()
    for match in (*_IBAN.finditer(text), *small):
        plain = re.sub("[ -]", "", match.group()).upper()
        length = _IBAN_LENGTH.get(plain[:2], 0)
        if length and len(plain) >= length and iban_is_valid(plain[:length]):
            seen = end = 0
            for end, char in enumerate(match.group(), 1):  # noqa: B007 (read after the loop)
                seen += char not in " -"
                if seen == length:
                    break
            yield match.start(), match.start() + end


_ISSUED = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}|220[0-4]\d{12}|65\d{14}|9792\d{12}"
)  # Visa, Mastercard, American Express, Discover, JCB, Diners, UnionPay, Maestro, Mir, RuPay, Troy
_GROUP = re.compile(r"\d+")


_LONG = re.compile(r"(?:\d[ .-]?){12}\d")  # in every card; found faster than what a card may not stand behind


def _cards(text: str) -> Iterator[tuple[int, int]]:
    if not _LONG.search(text):
        return
    for match in _CARD.finditer(text):
        whole = _GROUP.match(text, match.end())  # digits that the pattern did not reach
        if whole is None:
            yield from _cards_in(text, [group.span() for group in _GROUP.finditer(text, *match.span())])


def _cards_in(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Cards that some groups of digits in a row make; what stands before and behind may be a date or a check number."""
    first = 0
    while first < len(groups):
        digits, found = "", None
        account = _ACCOUNT.search(text, max(0, groups[first][0] - 5), groups[first][0]) is not None
        fraction = first > 0 and text[groups[first][0] - 1] == "."
        for last in range(first, first if fraction else len(groups)):
            digits += text[groups[last][0] : groups[last][1]]
            if len(digits) > 19:
                break
            if len(digits) >= 12 and _is_card(digits) and not account and _stands_apart(text, groups, first, last):
                found = last
        if found is not None:
            yield groups[first][0], groups[found][1]
            first = found
        first += 1


_ACCOUNT = re.compile(r"[A-Z]{2}\d\d ?$")  # what an account number begins with


def _is_card(digits: str) -> bool:
    return _ISSUED.fullmatch(digits) is not None and len(set(digits)) > 1 and luhn(digits)


def _stands_apart(text: str, groups: list[tuple[int, int]], first: int, last: int) -> bool:
    """Whether the groups are written alike and no single digit or fraction goes on behind them."""
    end = groups[last][1]
    seps = {text[groups[k][1]] for k in range(first, last)}
    if len(seps) > 1 or (seps == {"."} and any(b - a != 4 for a, b in groups[first : last + 1])):
        return False
    if last + 1 < len(groups):
        a, b = groups[last + 1]
        return a - end == 1 and b - a >= 2 and text[end] == " "
    return re.compile(r"[-./]?\d|\.\d|-[A-Za-z]").match(text, end) is None


def _keys(text: str) -> Iterator[tuple[int, int]]:
    found = [match.span() for pattern in (_KEY, _PRIVATE_KEY) for match in pattern.finditer(text)]
    low = text.lower()
    if "key" in low or "token" in low:
        found += [match.span(1) for match in _NAMED_KEY.finditer(text)]
    end = -1
    for start, stop in sorted(found):
        if start >= end:
            yield start, stop
            end = stop


FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "ip": _addresses,
    "phone": phones,
    "iban": _ibans,
    "card": _cards,
    "api_key": _keys,
}
