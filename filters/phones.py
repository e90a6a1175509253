"""Phone numbers in texts: with a calling code, in national forms that nothing else has, or behind a word for telephone.

Texts come in the plain form of `pii.plain_form` (one kind of digit, space and hyphen). A number with a calling code is
checked against the numbering plans of Google's libphonenumber; where a postcode or another number stands behind it,
the longest part that is a number of that country counts. Refused are amounts, rows of numbers, dates and version
numbers.
"""

import functools
import itertools
import re
from collections.abc import Iterator

import phonenumbers

_SEP = r"[ .\-/]"
_BEFORE = r"(?<![A-Za-z0-9.+/-])"
_ABROAD = re.compile(  # +49 30 123456, 0033 1 23 45 67 89, (+44) 20 7946 0958, +44 (0)20 7946 0958, +4930123456
    rf"{_BEFORE}(?:\+|00|(\()\+)[1-9]\d{{0,14}}(?(1)\))(?:{_SEP}?\(\d{{1,5}}\){_SEP}?\d{{1,8}})?"
    rf"(?:{_SEP}\d{{1,8}}){{0,12}}(?![A-Za-z0-9-]|[./]\d)"
)
_AT_HOME = re.compile(
    _BEFORE + r"(?:(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1-)?\d{3}-\d{3}-\d{4}|(?:1\.)?\d{3}\.\d{3}\.\d{4}"
    r"|0[1-9](?:[ .-]\d\d){4}|(?<!\d[ -])0[1-9]\d{0,3}([ -])\d{3,4}\1\d{3,4}"
    r"|07\d{3} \d{6}|0\d{2,4}/ ?\d{4,8}(?:-\d{1,4})?"
    r"|\(0\d{1,4}\) ?\d{3,8}(?:[ -]\d{1,5})?|\(\d{2}\) ?9?\d{4}-\d{4}|1[3-9]\d-\d{4}-\d{4}"
    r"|8[ -]\(\d{3}\) ?\d{3}-\d\d-\d\d)(?![A-Za-z0-9/-]|\.\d)"
)
# words for telephone by language; those that Latin letters could continue stand apart from them
_LATIN = (
    "tel|t\u00e9l|telephone|t\u00e9l\u00e9phone|telefon|telefono|tel\u00e9fono|telefone|telefoon|telefonnummer|phone|"
    "mobile|mobil|cell|celular|m\u00f3vil|m\u00f3bil|fax|whatsapp|hotline|handy|portable|puhelin|telefonszám|"
    "điện thoại|sđt|telepon|cep|gsm|nomor hp|ring|call|dial"
)
_OTHER = (
    "телефон|тел|моб|факс|τηλ|τηλέφωνο|κινητό|电话|電話|手机|手機|手机号|手机号码|联系方式|联系电话|聯絡電話|携帯|"
    "ファックス|传真|전화|휴대폰|연락처|핸드폰|팩스|โทร|โทรศัพท์|เบอร์|फोन|फ़ोन|मोबाइल|ফোন|মোবাইল|هاتف|تلفن|جوال|موبايل|"
    "موبایل|فون|טלפון|טל|נייד|தொலைபேசி|ഫോൺ|ఫోన్|ಫೋನ್|ફોન|ਫ਼ੋਨ|ტელ|ტელეფონი|հեռ|հեռախոս"
)
_CALLED = re.compile(  # what follows such a word is a number in whatever form
    rf"(?:(?<![A-Za-z0-9_])(?:{_LATIN})|(?:{_OTHER}))(?: no| nr| number|号码|号|番号|번호)?"
    r"[.:\uff1a\u3002]{0,2} ?[:\uff1a]? ?(\+?\(?\d[\d ().-]{5,17}\d)(?![A-Za-z0-9/-]|\.\d)",
    re.I,
)
_IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_CHINESE = re.compile(r"(?<![A-Za-z0-9.+/_-])1[3-9]\d{9}(?![A-Za-z0-9_/-]|\.\d)")  # a mobile number, in Chinese text
_DATE = re.compile(r"(?:19|20)\d\d[ .-]\d\d?[ .-]\d\d?|\d\d?[ .-]\d\d?[ .-](?:19|20)\d\d")


_RUN = re.compile(r"\d[\d ()./-]{5,}\d")  # in every number: seven digits or more, and nothing between them but these


def phones(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every number, in order, without overlap."""
    if not _RUN.search(text):
        return
    found = [span for match in _ABROAD.finditer(text) if (span := _abroad(match))]
    for match in _AT_HOME.finditer(text):
        number = match.group()
        pairs = [int(pair) for pair in re.findall(r"\d\d", number)]
        counting = (
            len({b - a for a, b in itertools.pairwise(pairs)}) == 1 and pairs[1] == pairs[0] + 1
        )  # 01 02 03 04 05
        least, most = (9, 11) if match[1] else (8, 15)
        amount = number.endswith("000 000")
        if least <= _digits(number) <= most and not counting and not amount:
            found.append(match.span())
    for match in _CALLED.finditer(text):
        number = match[1]
        if number[0] != "+" and 7 <= _digits(number) <= 15 and not _DATE.fullmatch(number):
            found.append(match.span(1))
    for match in _CHINESE.finditer(text):
        if _IDEOGRAPHS.search(text, max(0, match.start() - 10), match.end() + 10):
            found.append(match.span())
    end = -1
    for start, stop in sorted(found):
        if start >= end:
            yield start, stop
            end = stop


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _abroad(match: re.Match[str]) -> tuple[int, int] | None:
    """Where the number is that begins with a match: all of it, or as many of its groups as make one."""
    number, start = match.group(), match.start()
    if _is_abroad(number, True):
        return match.span()
    ends = [group.end() for group in re.finditer(r"\d+", number)]
    for place in range(len(ends) - 2, 1 if number.startswith("00") else 0, -1):
        shorter = number[: ends[place]]
        if shorter.count("(") == shorter.count(")") and _is_abroad(shorter, True):
            return start, start + ends[place]
    return match.span() if _is_abroad(number) else None


def _is_abroad(number: str, strictly: bool = False) -> bool:
    """Whether what begins with + or 00 can be a phone number: calling code, length, and no amount or row of numbers.

    strictly  it is a number that its country gives out, not one that is merely possible
    """
    international = number.removeprefix("00")
    plain = re.sub(r"\D", "", re.sub(r"\(0\)", "", international))
    groups = re.findall(r"\d+", number)
    if not 8 <= len(plain) <= 15 or len(set(plain[2:])) == 1 or not _planned(plain, strictly):
        return False
    if number.startswith("00"):  # numbers with leading zeros stand in tables and dumps as well
        return len(groups) > 2 and len(groups[0]) < 6 and {len(group) for group in groups[:-1]} != {4}
    if re.fullmatch(r"\+\d+\.\d+", number) or (len(groups) > 1 and max(map(len, groups[1:])) == 1):
        return False
    thousands = len(groups) > 1 and all(len(group) == 3 for group in groups[1:])
    return not (thousands and (len(plain) < 10 or plain.endswith("000")))


@functools.lru_cache(4096)
def _planned(digits: str, strictly: bool) -> bool:
    """Whether the numbering plan of the country with that calling code has such numbers."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) if strictly else phonenumbers.is_possible_number(number)
