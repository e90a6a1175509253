"""The licence that a page or a file states in markup, and its class: public domain, permissive, attribution, unknown.

Trusts what is declared for the page (`rel="license"`, meta elements) before links; a link to a Creative Commons licence
counts only where the page links to one licence alone, because a page may show a picture under another. Licences that
forbid commercial use or changes are named, and their class is unknown. Not legal advice, and never inferred.
"""

import re

CREATIVE = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?", re.IGNORECASE)
REL = re.compile(r"<(?:a|link)\s([^>]*\brel=\"[^\"]*\blicense\b[^\"]*\"[^>]*)>")
HREF = re.compile(r'\bhref="([^"]*)"')
LINK = re.compile(r'<a\s[^>]*href="[^"]*(creativecommons\.org/(?:licenses|publicdomain)/[^"]*)"')
METAS = "license licence dc.rights dcterms.license dc.rights.license rights cc:license og:license".split()
SPDX = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)")
SOFTWARE = (  # pattern -> SPDX name
    (re.compile(r"apache\.org/licenses/LICENSE-2\.0|Apache License,? Version 2\.0", re.IGNORECASE), "Apache-2.0"),
    (re.compile(r"opensource\.org/licenses?/mit\b|\bMIT License\b|spdx\.org/licenses/MIT\b", re.IGNORECASE), "MIT"),
    (re.compile(r"opensource\.org/licenses?/bsd-3|BSD 3-Clause", re.IGNORECASE), "BSD-3-Clause"),
    (re.compile(r"opensource\.org/licenses?/bsd-2|BSD 2-Clause", re.IGNORECASE), "BSD-2-Clause"),
    (re.compile(r"opensource\.org/licenses?/isc\b|\bISC License\b", re.IGNORECASE), "ISC"),
    (re.compile(r"gnu\.org/licenses/a?gpl|GNU (?:Affero )?General Public License", re.IGNORECASE), "GPL"),
    (re.compile(r"gnu\.org/licenses/fdl|GNU Free Documentation License", re.IGNORECASE), "GFDL"),
)
PERMISSIVE = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Zlib", "PSF-2.0", "BSL-1.0")
PUBLIC_DOMAIN = ("CC0-1.0", "PDM-1.0", "Unlicense")


def from_markup(head: str, body: str, metas: dict[str, str]) -> tuple[str | None, str | None]:
    """(licence, class) of a page from its serialised head and body; (None, None) where it states none."""
    for part in (head, body):
        for attributes in REL.findall(part) if "license" in part else ():
            target = HREF.search(attributes)
            if target and (name := named(target[1])):
                return name, class_of(name)
    for meta in METAS:
        if meta in metas and (name := named(metas[meta])):
            return name, class_of(name)
    linked = {named(target) for target in LINK.findall(body)} - {None} if "creativecommons" in body else set()
    if len(linked) == 1:
        name = linked.pop()
        return name, class_of(name)
    return None, None


def from_text(text: str) -> tuple[str | None, str | None]:
    """(licence, class) that the head of a text file states by an SPDX line."""
    found = SPDX.search(text[:4096])
    return (found[1], class_of(found[1])) if found else (None, None)


def named(text: str) -> str | None:
    """The SPDX name of the licence that a URL or a phrase stands for, None where it is not known."""
    found = CREATIVE.search(text)
    if found:
        kind, name, version = found[1].lower(), found[2].lower(), found[3]
        if kind == "publicdomain":
            return {"zero": "CC0-1.0", "mark": "PDM-1.0"}.get(name)
        return f"CC-{name.upper()}" + (f"-{version}" if version else "")
    return next((name for pattern, name in SOFTWARE if pattern.search(text)), None)


def class_of(name: str | None) -> str | None:
    """public domain, permissive, attribution or unknown; None where no licence was stated."""
    if name is None:
        return None
    if name in PUBLIC_DOMAIN:
        return "public domain"
    if name in PERMISSIVE:
        return "permissive"
    return "attribution" if re.match(r"CC-BY(-SA)?(-\d|$)", name) else "unknown"
