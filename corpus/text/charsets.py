"""Bytes as text: by their mark, by the charset that the input declares, or by what they look like.

The order is that of the Encoding Standard, with two liberties: valid UTF-8 is UTF-8 whatever is declared (a wrong
declaration is far more frequent than text in another charset that happens to be valid), and labels that the standard
does not know are looked up among Python's codecs. What no reading fits becomes U+FFFD, here and everywhere else.
"""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from .scanning import is_utf8

MARKS = (  # the longer before the shorter that they begin with
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
SEVEN_BIT = re.compile(r"iso2022|hz$|utf-7$")
LARGER = {"gbk": "gb18030", "gb2312": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs", "shift_jis": "cp932"}
NO_TEXT = ("idna", "punycode", "undefined", "mbcs", "oem")
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def mend(text: str) -> str:
    """Text that every file can hold: a lone surrogate becomes U+FFFD, two that belong together their character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def by_mark(body: bytes) -> tuple[str, int] | None:
    """(codec, length of the mark) of bytes that begin with a byte order mark."""
    return next(((name, len(mark)) for mark, name in MARKS if body.startswith(mark)), None)


def unmarked_wide(body: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, by where the noughts of its first characters are."""
    start = body[: min(len(body), 1024) // 4 * 4]
    if b"\0" not in start or len(body) % 2:
        return None
    units = len(start) // 4
    nought = [start[n::4].count(0) for n in range(4)]
    if nought[2] == nought[3] == units and nought[0] == 0:
        return "utf-32-le"
    if nought[0] == nought[1] == units and nought[3] == 0:
        return "utf-32-be"
    even, odd, pairs = start[0::2].count(0), start[1::2].count(0), len(start) // 2
    if odd * 8 > pairs and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even * 8 > pairs and odd == 0 else None


def codec_of(label: str | None) -> str | None:
    """Python's name of the codec that a label means, None where it means none."""
    if not label:
        return None
    label = label.strip(" \t\"'").lower()
    try:
        found = map_encoding_to_html5(label, fallback_utf8=False)
        info = codecs.lookup(found or label)
    except (LookupError, ValueError, UnicodeError):
        return None
    text = getattr(info, "_is_text_encoding", True) and info.name not in NO_TEXT and "escape" not in info.name
    return info.name if text else None


def decoded_as_declared(body: bytes, name: str | None) -> str | None:
    """The text by this codec or its superset, a few damaged characters replaced; None where it does not fit."""
    if name is None:
        return None
    for one in (name, LARGER.get(name)):
        try:
            return body.decode(one) if one else None
        except UnicodeDecodeError:
            continue
        except (LookupError, ValueError):
            return None
    return None


def fits(body: bytes, label: str | None) -> bool:
    """Whether the bytes can be text in the charset that a label means: all but one character in fifty of it."""
    name = codec_of(label)
    if name is None or decoded_as_declared(body, name) is not None:
        return name is not None
    text = body.decode(name, "replace")
    return text.count("\ufffd") * 50 <= len(text)


def detected(body: bytes) -> str | None:
    """The charset that bytes look like which are no UTF-8; None where that cannot be told.

    Korean looks like UTF-8 to the detector of resiliparse.
    """
    found = detect_encoding(body)
    if codec_of(found) != "utf-8":
        return found
    beyond = [char for char in body[:SAMPLE].decode("cp949", "replace") if char > "\x7f"]
    korean = sum("\uac00" <= char <= "\ud7a3" for char in beyond)
    return "cp949" if korean >= 10 and korean * 5 >= 4 * len(beyond) else None


SAMPLE = 64 << 10  # bytes by which a charset or binary data are told


def nearly_utf8(body: bytes) -> str | None:
    """The text of UTF-8 with a few damaged characters among many of several bytes, each replaced; None for all others.

    Other charsets than UTF-8 that are read as such are damaged at nearly every character beyond ASCII.
    """
    text = body.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    longer = _longer(body) - damaged
    return text if longer >= 20 and damaged * 50 <= longer else None


def _longer(body: bytes) -> int:
    """Bytes that would begin a character of several bytes in UTF-8."""
    return len(body.translate(None, _BELOW_LEADS))


_BELOW_LEADS = bytes(range(0xC0))


def marked_or_wide(body: bytes, charset: str | None) -> str | None:
    """The text of bytes whose mark, or whose declared wide or 7-bit charset, says more than that they are valid UTF-8;
    None for all others."""
    if marked := by_mark(body):
        return body[marked[1] :].decode(marked[0], "replace")
    name = codec_of(charset)
    if name in WIDE:
        start = body[:4096]
        if CONTROLS.search(start) or not is_utf8(body):
            wide = unmarked_wide(body)
            if wide and wide[:6] == name[:6]:
                name = wide  # of the two byte orders the one that it has
            return body.decode(name, "replace")
    if name and SEVEN_BIT.search(name) and body.isascii():
        return decoded_as_declared(body, name)
    if b"\0" in body[:1024] and (wide := unmarked_wide(body)):
        return body.decode(wide, "replace")
    return None


def decode_text(body: bytes, charset: str | None = None) -> str | None:
    """A plain text file as text, None where it is binary."""
    text = marked_or_wide(body, charset)
    if text is None:
        text = body.decode() if is_utf8(body) else nearly_utf8(body) or _by_charset(body, charset)
    return None if text is None or "\0" in text else text


def _by_charset(body: bytes, charset: str | None) -> str | None:
    name = codec_of(charset)
    text = decoded_as_declared(body, name)
    if text is not None:
        return text
    if name is not None:
        text = body.decode(name, "replace")
        damaged = text.count("\ufffd")
        if damaged * 50 <= len(text):
            few = name == "utf-8" and damaged > _longer(body) - damaged  # too few letters to tell another charset by
            return body.decode("cp1252", "replace") if few else text
    sample = body[:SAMPLE]
    odd = sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in sample)
    if odd > len(sample) // 1000:
        return None
    found = codec_of(detected(body)) or "cp1252"
    text = decoded_as_declared(body, found)
    if text is None:
        damaged = body.decode("utf-8", "replace")
        few = damaged.count("\ufffd") * 50 <= len(damaged)
        text = damaged if few else body.decode(found, "replace")
    return text
