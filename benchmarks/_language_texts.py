"""Text by language out of Debian packages: messages of programs, manuals, help pages, descriptions, sayings.

The path of a file tells its language (`PLACES`). A line is one message or paragraph without its markup. Lines that were
left in English and lines in another script than the language's are taken out.
"""

import gzip
import html
import io
import json
import re
import struct
import subprocess
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

TAG = r"([A-Za-z]{2,3}(?:[-_][A-Za-z]{2,6})?(?:@[a-z]+)?)"
PLACES = re.compile(
    "|".join(
        place.replace("TAG", TAG)
        for place in (
            r"/(?:locale|resource)/TAG/LC_MESSAGES/[^/]+\.mo$",
            r"/languages/(?:admin-|continents-cities-)?(?:network-)?TAG\.mo$",
            r"/(?:[^/]+[_.])?TAG\.qm$",
            r"/i18n/(?:[^/]+/)*TAG\.json$",
            r"/resource\.language\.TAG/strings\.po$",
            r"/localization/TAG/messages\.inc$",
            r"/langpack-TAG@[^/]*\.xpi$",
            r"/help/TAG/.*\.(?:page|html)$",
            r"/(?:html|installation-guide-\w+)/TAG/[^/]*\.html$",
            r"/HTML/TAG/.*\.docbook$",
            r"\.TAG\.(?:html|utf8)$",
            r"/man/TAG/man\d/",
            r"/lang/TAG/.*\.txt$",
            r"/fortunes/TAG/[^.]*(?:\.u8)?$",
        )
    )
)
LATIN_SERBIAN, IJEKAVIAN_SERBIAN = "sr-latn", "sr-ijekavian"
SPELT = {  # tags that do not begin with the label of their language; "" for text in a script that is not learnt
    "no": "nb", "nb-no": "nb", "nn-no": "nn", "sr-cs": LATIN_SERBIAN, "sr-el": LATIN_SERBIAN, "sr-latn": LATIN_SERBIAN,
    "sr@latin": LATIN_SERBIAN, "sr-rs@latin": LATIN_SERBIAN, "sr@ijekavianlatin": IJEKAVIAN_SERBIAN, "be@latin": "",
    "be-tarask": "", "be@tarask": "", "uz@cyrillic": "", "kk-latn": "", "kk-arab": "", "tg-latn": "", "tt-latn": "",
    "ku-arab": "", "ku-ckb": "ckb", "zh-classical": "", "zh-yue": "", "zh-hk": "", "zh-tw": "", "zh-hant": "",
    "fil": "tl", "az-arab": "", "de-hsb": "", "ug-latn": "", "kmr": "ku", "lug": "lg",
}  # fmt: skip
OTHER_SCRIPT = frozenset(
    "am ar be bg bn bo ckb cv dv el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr my ne or os pa ps ru sa sah sat "
    "si sr ta te tg th tt ug uk ur yi zh".split()
)
ENGLISH = frozenset("the and of with this that from are you which when not for is".split())
PROCESSES = 2
VOCABULARY = 8000  # most frequent English words by which a line is told to be English
WORD = re.compile(r"[^\W\d_]+")
MARKUP = re.compile(r"<[^>]*>|\{\{|\}\}|\[\[|\]\]|'''?|\{[^{}]*\}")
HOLDERS = re.compile(r"https?:\S+|[%$]\(?\w+\)?|\$\d|&\w+;|[~_&@|#*=<>^\\]|--\w+")
UNREAD = re.compile(r"(?s)<(pre|code|script|style|screen|programlisting|head)\b.*?</\1>")
BLOCK = re.compile(r"(?i)</?(?:p|li|h\d|div|td|dd|dt|para|title|item|br|tr|note|desc)\b[^>]*>")
CYRILLIC = dict(
    zip(
        map(ord, "абвгдђежзијклљмнњопрстћуфхцчџш"),
        "a b v g d đ e ž z i j k l lj m n nj o p r s t ć u f h c č dž š".split(),
        strict=True,
    )
)


def texts(folder: Path, languages: set[str]) -> dict[str, dict[str, list[str]]]:
    """Lines by language and package, each once a package, those left in English taken out."""
    found: dict[str, dict[str, list[str]]] = {}
    packages = sorted(folder.glob("*.deb"))
    with Pool(PROCESSES) as pool:
        for deb, lines in zip(packages, pool.imap(partial(_read, languages=languages), packages), strict=True):
            for language, some in lines.items():
                found.setdefault(language, {})[deb.name.partition("_")[0]] = some
    return _without_english(found)


def _read(deb: Path, languages: set[str]) -> dict[str, list[str]]:
    """Lines of a package by language."""
    lines: dict[str, dict[str, None]] = {}
    for path, data in _files(deb):
        tag = _language(path)
        for language, value in _values(path, data, tag) if tag in languages else ():
            line = _plain(value)
            if line and _in_script(line, language):
                lines.setdefault(language, {})[line] = None
    return {language: list(some) for language, some in lines.items()}


def in_ijekavian(lines: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    """By package, Latin Serbian as it is written in Bosnia, where texts of programs mostly follow Croatian.

    A word is respelt (`vreme` as `vrijeme`) if the respelt one stands in ijekavian Serbian, Bosnian or Croatian texts
    and its own spelling hardly does. What translators wrote in ijekavian Serbian themselves comes along as it is.
    """
    western: Counter[str] = Counter()
    for language in (IJEKAVIAN_SERBIAN, "bs", "hr"):
        western += _words_of(lines[language])
    eastern, spelt = _words_of(lines[LATIN_SERBIAN]), {}
    for word, times in western.most_common():
        if times < 2 or "je" not in word:
            continue
        one = word.replace("ije", "e")
        for other in (one, word.replace("je", "e"), one.replace("je", "e")):
            if other != word and len(other) > 2 and other in eastern and western[other] < 0.2 * times:
                spelt.setdefault(other, word)

    def respelt(found: re.Match[str]) -> str:
        word = spelt.get(found[0].lower(), found[0])
        return word.capitalize() if found[0][0].isupper() and word != found[0] else word

    made = {
        f"ijekavian {name}": [WORD.sub(respelt, line) for line in some] for name, some in lines[LATIN_SERBIAN].items()
    }
    return lines[IJEKAVIAN_SERBIAN] | made


def in_latin(sentence: np.ndarray) -> np.ndarray:
    """A Serbian sentence in Latin letters."""
    text = "".join(map(chr, sentence)).lower().translate(CYRILLIC)
    return np.array([ord(c) for c in text], np.int32)


def _words_of(packages: dict[str, list[str]]) -> Counter[str]:
    return Counter(word.lower() for some in packages.values() for line in some for word in WORD.findall(line))


def _without_english(found: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    counts = Counter(word.lower() for some in found["en"].values() for line in some for word in WORD.findall(line))
    known = {word for word, _ in counts.most_common(VOCABULARY) if len(word) > 1}

    def foreign(line: str) -> bool:
        words = [word.lower() for word in WORD.findall(line)]
        certain = sum(word in ENGLISH for word in words)
        return sum(word in known for word in words) < 0.6 * len(words) and certain < max(2, 0.15 * len(words))

    for language, packages in found.items():
        if language != "en" and language not in OTHER_SCRIPT:
            found[language] = {package: [line for line in some if foreign(line)] for package, some in packages.items()}
    return found


def _files(deb: Path) -> Iterator[tuple[str, bytes]]:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpacked:
        with tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive:
            for member in archive:
                if member.isfile() and PLACES.search(member.name):
                    file = archive.extractfile(member)
                    assert file is not None
                    data = file.read()
                    yield member.name, gzip.decompress(data) if member.name.endswith(".gz") else data


def _language(path: str) -> str:
    found = PLACES.search(path)
    assert found is not None
    tag = next(filter(None, found.groups())).replace("_", "-").lower()
    return SPELT.get(tag, re.sub("[-@].*", "", tag))


def _values(path: str, data: bytes, language: str) -> Iterator[tuple[str, str]]:
    """(language, value) of a file; the messages that the German ones translate are English."""
    kind = path.rpartition(".")[2]
    if kind == "mo":
        for source, value in _catalogue(data):
            if value != source:
                yield from ((language, part) for part in value.split("\n\n"))
            if language == "de" and "_" not in source and len(source) > 30:
                yield "en", source
        return
    if kind == "qm":
        values = _qt_catalogue(data)
    elif kind == "xpi":
        values = _packed(data)
    else:
        text = data.decode("utf-8", "replace")
        if kind == "json":
            given = json.loads(text)
            values = [value for value in given.values() if isinstance(value, str)] if isinstance(given, dict) else []
        elif kind == "po":
            values = re.findall(r'^msgstr "(.+)"$', text, re.M)
        elif kind == "inc":
            values = re.findall(r"= '((?:[^'\\]|\\.)+)';", text)
        elif kind in ("html", "page", "docbook", "utf8"):
            values = BLOCK.split(UNREAD.sub(" ", text))
        elif "/man/" in path:
            text = re.sub(r"(?m)^[.'].*$", "", re.sub(r"(?m)^\.(?:[BI]|[BIR]{2}|S[HS])\s+(.*)$", r"\1", text))
            values = re.sub(r"\\f.|\\[&%|^:]|\\\(..|\\\[[^]]*\]", "", text).replace("\\-", "-").split("\n\n")
        else:
            values = re.split(r"\n%\n|\n\n|\n[ *=-]+", text)
    yield from ((language, value) for value in values)


def _catalogue(data: bytes) -> list[tuple[str, str]]:
    """(message, translation) of a gettext catalogue, the first form of each."""
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, sources, values = struct.unpack_from(order + "3I", data, 8)

    def told(table: int, row: int) -> str:
        size, at = struct.unpack_from(order + "2I", data, table + 8 * row)
        return data[at : at + size].decode("utf-8", "replace").split("\0")[0].split("\4")[-1]

    return [(told(sources, row), told(values, row)) for row in range(count) if told(sources, row)]


def _qt_catalogue(data: bytes) -> list[str]:
    """The translations of a compiled Qt catalogue: its section 0x69, where tag 3 begins a text in UTF-16."""
    values, at = [], 16
    while at + 5 <= len(data):
        section, size = struct.unpack_from(">BI", data, at)
        body, at = data[at + 5 : at + 5 + size], at + 5 + size
        n = 0
        while section == 0x69 and n < len(body):
            tag, n = body[n], n + 1
            if tag in (2, 4):  # an old context, an obsolete mark
                n += 4 if tag == 2 else 1
            elif tag != 1:  # 1 ends a message
                (length,) = struct.unpack_from(">I", body, n)
                n += 4
                if length != 0xFFFFFFFF:
                    values += [body[n : n + length].decode("utf-16-be", "replace")] if tag == 3 else []
                    n += length
    return values


def _packed(data: bytes) -> list[str]:
    """The values of a language pack's .ftl and .properties files."""
    values = []
    with zipfile.ZipFile(io.BytesIO(data)) as pack:
        for name in sorted(pack.namelist()):
            if not name.endswith((".ftl", ".properties")):
                continue
            key = ""
            for line in io.TextIOWrapper(pack.open(name), "utf-8", "replace"):
                entry = re.match(r"\s*(?:\.?([\w.-]+)\s*=|\*?\[(\w+)\])\s*(.*)$", line)
                key = (entry[1] or key) if entry else key
                if key and not line.startswith("#") and not re.search(r"accesskey|style|key$|width", key):
                    values.append(entry[3] if entry else line)
    return values


def _plain(value: str) -> str:
    """A line without its markup, '' where that leaves no two words."""
    value = " ".join(HOLDERS.sub(" ", MARKUP.sub(" ", html.unescape(value[:4000]))).split())
    return value if len(value) >= 12 and " " in value else ""


def _in_script(line: str, language: str) -> bool:
    letters = "".join(WORD.findall(line))
    latin = sum(c <= "\u024f" or "\u1e00" <= c <= "\u1eff" for c in letters)
    if not letters:
        return False
    return latin <= 0.4 * len(letters) if language in OTHER_SCRIPT else latin >= 0.9 * len(letters)
