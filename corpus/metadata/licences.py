"""The licence that a page or a file states, and its class: public domain, permissive, attribution, unknown.

Only what is declared for the page counts: `rel="license"`, HTTP's `Link`, JSON-LD, meta elements, and at last a link to
a Creative Commons licence in words that speak of licensing. Not counted are the licence of a picture (in a figure, or
beside words of a credit), of a comment, of a part in the margin, and a licence that the words deny; several licences of
different classes are none. Licences that forbid commercial use or changes are named, and their class is unknown. Not
legal advice, and never inferred.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

CREATIVE = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?", re.IGNORECASE)
CREATIVE_NAME = re.compile(
    r"\b(?:cc|creative[\s_-]*commons)[\s_:-]*(?:licen[cs]e[\s_:-]*)?(zero|0|by(?:[\s_-]?(?:nc|nd|sa))*|pdm)(?![a-z])"
    r"(?:[\s_v-]*(\d\.\d|\d(?![\d.])))?",
    re.IGNORECASE,
)
CREATIVE_WORDS = re.compile(
    r"\bcreative\s+commons\s+attribution((?:[\s,/-]+(?:non[\s-]?commercial|no[\s-]?deriv\w*|share[\s-]?alike))*)"
    r"[^\d]{0,20}(\d\.\d)?",
    re.IGNORECASE,
)
METAS = "license licence dc.rights dcterms.license dc.rights.license rights cc:license og:license".split()
SPDX = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)")
SOFTWARE = (  # pattern -> SPDX name
    (
        re.compile(
            r"apache\.org/licenses/LICENSE-2\.0|"
            r"\bApache(?: Software)?(?: License)?,?[\s-]*(?:Version\s*)?v?2(?:\.0)?\b",
            re.I,
        ),
        "Apache-2.0",
    ),
    (re.compile(r"opensource\.org/licenses?/mit\b|\bMIT License\b|\bExpat License\b|^mit$", re.I), "MIT"),
    (
        re.compile(r"opensource\.org/licenses?/bsd-3|\bBSD[\s-]?3[\s-]?Clause|\bNew BSD\b|\b3-Clause BSD", re.I),
        "BSD-3-Clause",
    ),
    (
        re.compile(r"opensource\.org/licenses?/bsd-2|\bBSD[\s-]?2[\s-]?Clause|\bSimplified BSD\b|\b2-Clause BSD", re.I),
        "BSD-2-Clause",
    ),
    (re.compile(r"opensource\.org/licenses?/isc\b|\bISC License\b|^isc$", re.I), "ISC"),
    (re.compile(r"unlicense\.org|\bThe Unlicense\b|^unlicense$", re.I), "Unlicense"),
    (re.compile(r"boost\.org/LICENSE|\bBoost Software License|^bsl-1\.0$", re.I), "BSL-1.0"),
    (
        re.compile(
            r"mozilla\.org/(?:[a-z-]+/)?MPL/2|\bMozilla Public License,?\s*(?:v|version)?\s*\.?\s*2|^mpl-2\.0$", re.I
        ),
        "MPL-2.0",
    ),
    (re.compile(r"gnu\.org/licenses/(?:old-licenses/)?lgpl|GNU Lesser General Public License", re.I), "LGPL"),
    (re.compile(r"gnu\.org/licenses/agpl|GNU Affero General Public License", re.I), "AGPL"),
    (re.compile(r"gnu\.org/licenses/(?:old-licenses/)?gpl|GNU General Public License", re.I), "GPL"),
    (re.compile(r"gnu\.org/licenses/(?:old-licenses/)?fdl|GNU Free Documentation License", re.I), "GFDL"),
)
_URL = re.compile(
    r"(?:spdx\.org/licenses|opensource\.org/licenses?|choosealicense\.com/licenses)/([A-Za-z0-9.+-]+?)(?:\.html|/|$)"
)
PERMISSIVE = (
    *("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Zlib", "PSF-2.0", "BSL-1.0", "MIT-0"),
    *("BSD-3-Clause-Clear", "BSD-4-Clause", "NCSA", "PostgreSQL", "UPL-1.0", "Python-2.0", "X11", "AFL-3.0"),
    *("Artistic-2.0", "ECL-2.0", "MulanPSL-2.0", "BlueOak-1.0.0", "W3C", "Apache-1.1", "CDLA-Permissive-2.0"),
    *("CDLA-Permissive-1.0", "HPND", "NTP", "Unicode-3.0", "Unicode-DFS-2016", "libtiff", "FTL", "ICU", "JSON"),
)
PUBLIC_DOMAIN = ("CC0-1.0", "PDM-1.0", "Unlicense", "PDDL-1.0", "CC-PDDC", "WTFPL", "0BSD-PD")
COPYLEFT = (
    *("GPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0-only", "GPL-3.0-or-later", "GPL", "LGPL"),
    *("LGPL-2.1", "LGPL-3.0", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "AGPL"),
    *("AGPL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "MPL-2.0", "MPL-1.1", "EPL-1.0", "EPL-2.0", "EUPL-1.2"),
    *("CDDL-1.0", "OSL-3.0", "MS-PL", "GFDL", "GFDL-1.2", "GFDL-1.3", "ODbL-1.0", "OFL-1.1", "CDLA-Sharing-1.0"),
)
_OTHER_NAMES = {
    **{"apache": "Apache-2.0", "apache2": "Apache-2.0", "apache2.0": "Apache-2.0", "apachev2": "Apache-2.0"},
    **{"bsd3clause": "BSD-3-Clause", "bsd2clause": "BSD-2-Clause", "expat": "MIT", "mitlicense": "MIT"},
    **{"themitlicense": "MIT", "publicdomain": "PDM-1.0", "pd": "PDM-1.0", "cczero": "CC0-1.0", "cc0": "CC0-1.0"},
    **{"gplv2": "GPL-2.0", "gplv3": "GPL-3.0", "lgplv3": "LGPL-3.0", "agplv3": "AGPL-3.0", "odcby": "ODC-By-1.0"},
    **{"odcby1.0": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0", "ofl": "OFL-1.1", "mpl": "MPL-2.0"},
    **{"boost": "BSL-1.0", "theunlicense": "Unlicense", "isclicense": "ISC", "cc010": "CC0-1.0"},
}
GNU = re.compile(
    r"(?<![a-z])(?:gnu[\s_-]*)?(a|l)?(?:gpl|(?:(affero|lesser|library)[\s_-]*)?general[\s_-]+public[\s_-]+licen[cs]e)"
    r"[\s_,-]*(?:v(?:ersion)?[\s_.]*)?([123])(?:[._](\d))?(?:[._]\d)?(?![\d.]*\d)[\s_-]*(\+|\(?or[\s_-]+(?:any[\s_-]+)?(?:later|newer))?",
    re.IGNORECASE,
)
JOINED = re.compile(r"[|;&]|(?<![\w-])(?:and|or)(?![\w-])(?!\s*\(?(?:any|later|newer))", re.IGNORECASE)
# what a licence is called with that takes back what it gives
RESTRICTED = re.compile(
    r"commons?[\s_-]*clause|non[\s_-]?commercial|research[\s_-](?:use[\s_-])?only|proprietary|academic|evaluation|"
    r"no[\s_-]?deriv|\bN[CD]\b|\b(?:AI|ML)[\s_-]training",
    re.IGNORECASE,
)


def _folded(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name.lower())


_FOLDED = {
    _folded(n): m for n, m in [*((n, n) for n in (*PERMISSIVE, *PUBLIC_DOMAIN, *COPYLEFT)), *_OTHER_NAMES.items()]
}
DENIED = re.compile(
    r"all rights reserved|tous droits r|alle rechte vorbehalten|todos los derechos|todos os direitos|tutti i diritti|"
    r"все права защищены|不是|ではありません|ではない|아닙니다|"
    r"\b(?:not|no(?![\s-]?deriv)|never|nor|isn't|aren't|without|except|excluding|unlike|non(?![\s-]?(?:commerc|kommerz))|"
    r"nicht|kein\w*|pas|sauf|no es|não|nao|niet|geen|nie|inte|ikke|ikkje|ei|не|нет|δεν|değil)\b",
    re.IGNORECASE,
)
_DENIED_LINK = re.compile(
    r"\b(?:not|never|isn't|nicht|kein\w*|n'est pas|ne sont pas|no est[áa]n?|no es|non (?:è|sono)|não (?:est|é|são)\w*|"
    r"niet|nie|inte|ikke|не|δεν)\b[^.]{0,40}(?:licen[cs]|lizen|lisens|лиценз|ліценз|under|unter|sous|bajo|sob\b|sotto|onder|cover|"
    r"creative|\bcc\b|под\b)",
    re.IGNORECASE,
)
LICENSING = re.compile(
    r"licen[cs]|lizen|lisens|liicen|лиценз|ліценз|αδει|άδεια|ライセンス|许可|許可|授权|授權|라이선스|"
    r"creative\s*commons|\bcc[\s-](?:by|0)|copyright|©|public domain",
    re.IGNORECASE,
)
CREDIT = re.compile(
    r"\b(?:photo\w*|image|images|picture\w*|illustration\w*|icons?|fonts?|logo|video|music|audio|foto\w*|bild\w*|imagen|immagine|"
    r"zdj\w+|cover art|artwork|thumbnail|via flickr|flickr|unsplash|wikimedia commons|pixabay|map data|data by)\b|"
    r"фото|рисун|εικόν",
    re.IGNORECASE,
)
OWN_WORK = re.compile(
    r"\bth(?:is|e) (?:page|article|work|site|website|web site|content|text|post|blog|document|wiki|book|documentation)|"
    r"content (?:on|of) this|(?:text|content|article)s? (?:is|are) (?:available|licensed)|except (?:where|as)|"
    r"unless otherwise",
    re.IGNORECASE,
)
ASIDE = re.compile(
    r"comment|caption|credit|photo|image|gallery|thumb|figure|reply|respons|discuss|related|recommend|sidebar|widget|"
    r"\bcard|promo|teaser|embed|advert|sponsor|signature|avatar|lightbox|media|review|quote",
    re.IGNORECASE,
)
_ASIDE_TAGS = ("figure", "figcaption", "picture", "blockquote", "aside", "pre", "code")
_BLOCK_TAGS = frozenset("p div li td section footer article small address dd body main header span".split()) - {"span"}


def stated_licence(
    rel: Iterable[str], linked_data: Iterable[str], metas: dict[str, str], links: Iterable[tuple[bool, str]]
) -> tuple[str | None, str | None]:
    """(licence, class) of a page; (None, None) where it states none.

    rel          addresses that its HTTP head and its HTML head name by `rel=license`
    linked_data  what JSON-LD names as the licence of the page
    links        (whether by `rel=license`, address) of its body, see `body_links`
    """
    body = list(links)
    sources = (
        [named(one) for one in rel],
        [named(one) for relation, one in body if relation],
        [named(one) for one in linked_data],
        [phrased(metas[name]) for name in METAS if name in metas],
        [named(one) for relation, one in body if not relation],
    )
    for found in sources:
        known = [name for name in found if name]
        if known:
            classes = {class_of(name) for name in known}
            return (known[0], class_of(known[0])) if len(classes) == 1 else (None, None)
    return None, None


JUDGED = 100  # links to licences at either end of a page that are judged by where they stand


def body_links(body: Any) -> Iterator[tuple[bool, str]]:
    """(whether by `rel=license`, address) of the links in a body (element of `resiliparse`) that license the page."""
    found: list[tuple[Any, bool, str]] = []
    for link in body.query_selector_all("a[href], link[href]")[:]:
        words = (link.getattr("rel") or "").lower().split()
        target = link.getattr("href") or ""
        relation = "license" in words
        if relation or CREATIVE.search(target):
            found.append((link, relation, target))
    if len(found) > 2 * JUDGED:  # what is around each is read
        found = found[:JUDGED] + found[-JUDGED:]
    for link, relation, target in found:
        if _of_the_page(link, relation):
            yield relation, target


def _of_the_page(link: Any, relation: bool) -> bool:
    """Whether a link stands where the licence of the whole page stands, not that of a part of it."""
    block, node, footer = None, link.parent, False
    for _ in range(64):
        if node is None or node.tag in (None, "body", "html"):
            break
        words = " ".join(filter(None, (node.getattr("class"), node.getattr("id"), node.getattr("itemprop"))))
        if node.tag in _ASIDE_TAGS or (words and ASIDE.search(words) and not LICENSING.search(words)):
            return False
        footer = footer or node.tag == "footer" or "footer" in words.lower() or bool(LICENSING.search(words))
        if block is None and node.tag in _BLOCK_TAGS:
            block = node
        node = node.parent
    text = " ".join((block.text or "").split()) if block is not None else ""
    if len(text) <= 400:
        if CREDIT.search(text) and not OWN_WORK.search(text):
            return False
        if _DENIED_LINK.search(text):
            return False
        pictures = block.query_selector_all("img")[:] if block is not None and not footer else []
        if len(text) <= 200 and not OWN_WORK.search(text) and any(not _within(one, link) for one in pictures):
            return False
    return (
        relation
        or footer
        or bool(OWN_WORK.search(text[:2000]))
        or (len(text) <= 400 and bool(LICENSING.search(text)) and len(text) >= 1)
    )


def _within(node: Any, outer: Any) -> bool:
    href = outer.getattr("href")
    for _ in range(4):
        node = node.parent
        if node is None:
            return False
        if node.tag == "a":
            return node.getattr("href") == href
    return False


def from_text(text: str) -> tuple[str | None, str | None]:
    """(licence, class) that the head of a text file states by an SPDX line."""
    found = SPDX.search(text[:4096])
    return (settled(found[1]), class_of(found[1])) if found else (None, None)


def phrased(text: str) -> str | None:
    """The licence that a phrase states; None where it denies one or speaks of several."""
    if not text or (DENIED.search(text) and not re.match(r"\s*https?://\S+\s*$", text)):
        return None
    return named(text)


def named(text: str) -> str | None:
    """The SPDX name of the licence that a URL, a name of a catalogue or a phrase stands for; None: not known.

    Several that are joined are an expression of SPDX (`MIT OR Apache-2.0`), where each of them is known.
    """
    text = re.sub(r"^\s*licen[cs]e\s*[:=]\s*", "", text.strip(" \t\r\n[]\"'"), flags=re.IGNORECASE).strip(" \t\"'")
    joined = re.sub(r"\band/or\b", "or", text, flags=re.IGNORECASE)
    joined = joined if re.search(r"//|\.\w{2,}/", joined) else joined.replace("/", " or ")  # no address
    if JOINED.search(joined):
        parts = [_named(part.strip(" (),\t")) for part in JOINED.split(joined) if part.strip(" (),\t")]
        known = list(dict.fromkeys(part for part in parts if part))
        if len(known) > 1:
            every = " AND " if re.search(r"\band\b|[;&]", joined, re.IGNORECASE) else " OR "
            return every.join(known) if None not in parts else None
    return _named(text)


def _named(text: str) -> str | None:
    """The name of one licence."""
    if found := CREATIVE.search(text):
        kind, name, version = found[1].lower(), found[2].lower(), found[3]
        if kind == "publicdomain":
            return {"zero": "CC0-1.0", "mark": "PDM-1.0"}.get(name)
        return f"CC-{name.upper()}" + (f"-{version}" if version else "")
    if _folded(text) in _FOLDED:
        return _FOLDED[_folded(text)]
    if found := _URL.search(text):
        if _folded(found[1]) in _FOLDED:
            return _FOLDED[_folded(found[1])]
        text = found[1]
    name = _creative_phrase(text) or _gnu(text)
    if name is None:
        found_names = {name for pattern, name in SOFTWARE if pattern.search(text)}
        name = found_names.pop() if len(found_names) == 1 else None
    restricted = name is not None and not re.search("N[CD]", name) and RESTRICTED.search(text)
    return None if restricted else name


def _creative_phrase(text: str) -> str | None:
    if found := CREATIVE_NAME.search(text):
        return _creative(found[1], found[2])
    if found := CREATIVE_WORDS.search(text):
        parts = found[1].lower()
        kind = "by" + "".join(
            f"-{short}" for short, word in (("nc", "commercial"), ("nd", "deriv"), ("sa", "alike")) if word in parts
        )
        return _creative(kind, found[2])
    return None


def _gnu(text: str) -> str | None:
    """The name of a licence of GNU with its version, where one is stated."""
    found = GNU.search(text)
    if not found:
        return None
    kind = {"affero": "A", "lesser": "L", "library": "L"}.get((found[2] or "").lower(), (found[1] or "").upper())
    return f"{kind}GPL-{found[3]}.{found[4] or 0}" + ("-or-later" if found[5] else "")


def _creative(kind: str, version: str | None) -> str:
    kind = re.sub(r"[\s_-]+", "-", kind.lower())
    kind = re.sub(r"^by(?=nc|nd|sa)", "by-", kind)
    kind = re.sub(r"(nc)(?=nd|sa)", r"\1-", kind)
    version = f"{version}.0" if version and "." not in version else version
    if kind in ("zero", "0"):
        return "CC0-1.0"
    return "PDM-1.0" if kind == "pdm" else f"CC-{kind.upper()}" + (f"-{version}" if version else "")


def settled(name: str) -> str:
    """The SPDX name of a licence where it is known, else the name as it is."""
    return named(name) or name


CLASSES = ("public domain", "permissive", "attribution", "unknown")  # from what asks least to what asks most


def class_of(name: str | None) -> str | None:
    """public domain, permissive, attribution or unknown; None where no licence was stated. Any spelling of a name.

    Of licences of which one may be chosen (OR) it is the class that asks least, of those that hold together (AND), or
    of both kinds in one expression, the one that asks most.
    """
    if not name:
        return None
    known = phrased(name) or ""
    parts = re.split(" (?:AND|OR) ", known)
    ranks = [CLASSES.index(_class_of_one(part)) for part in parts]
    return CLASSES[max(ranks) if " AND " in known else min(ranks)]


def _class_of_one(known: str) -> str:
    if known in PUBLIC_DOMAIN:
        return "public domain"
    if known in PERMISSIVE:
        return "permissive"
    return "attribution" if re.match(r"(?:CC-BY(-SA)?(-\d|$)|ODC-By)", known) else "unknown"
