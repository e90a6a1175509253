"""Licences that pages and rows state: of the page, not of a part of it, under one name."""

import pytest
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.metadata.licences import class_of, named
from gristmill.corpus.metadata.page import Sent, head_metas, stated
from gristmill.corpus.text.thinning import thin

CC = "https://creativecommons.org/licenses/by/4.0/"
NAMES = [
    ("mit", "MIT", "permissive"),
    ("The MIT License (MIT)", "MIT", "permissive"),
    ("https://opensource.org/licenses/MIT", "MIT", "permissive"),
    ("apache-2.0", "Apache-2.0", "permissive"),
    ("Apache License, Version 2.0", "Apache-2.0", "permissive"),
    ("https://spdx.org/licenses/Apache-2.0.html", "Apache-2.0", "permissive"),
    ("bsd-3-clause", "BSD-3-Clause", "permissive"),
    ("isc", "ISC", "permissive"),
    ("unlicense", "Unlicense", "public domain"),
    ("cc0-1.0", "CC0-1.0", "public domain"),
    ("CC0", "CC0-1.0", "public domain"),
    ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "public domain"),
    ("cc-by-4.0", "CC-BY-4.0", "attribution"),
    ("CC BY 4.0", "CC-BY-4.0", "attribution"),
    ("Creative Commons Attribution-ShareAlike 3.0", "CC-BY-SA-3.0", "attribution"),
    ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0", "attribution"),
    ("cc-by-nc-4.0", "CC-BY-NC-4.0", "unknown"),
    ("CC BY-NC-ND 4.0", "CC-BY-NC-ND-4.0", "unknown"),
    ("gpl-3.0", "GPL-3.0", "unknown"),
    ("Apache 2", "Apache-2.0", "permissive"),
    ("apache_2_0", "Apache-2.0", "permissive"),
    ("license:mit", "MIT", "permissive"),
    ("['mit']", "MIT", "permissive"),
    ("MIT OR Apache-2.0", "MIT OR Apache-2.0", "permissive"),
    ("MIT/Apache-2.0", "MIT OR Apache-2.0", "permissive"),
    ("(MIT AND BSD-3-Clause)", "MIT AND BSD-3-Clause", "permissive"),
    ("GPL-3.0 OR CC-BY-4.0", "GPL-3.0 OR CC-BY-4.0", "attribution"),
    ("CC-BY-4.0 AND CC-BY-NC-4.0", "CC-BY-4.0 AND CC-BY-NC-4.0", "unknown"),
    ("Apache-2.0 AND GPL-3.0-or-later", "Apache-2.0 AND GPL-3.0-or-later", "unknown"),
    ("Apache-2.0 WITH LLVM-exception", "Apache-2.0", "permissive"),
    ("Apache 2.0 with Commons Clause", None, "unknown"),
    ("MIT License, non-commercial use only", None, "unknown"),
    ("GPLv3", "GPL-3.0", "unknown"),
    ("GPLv2+", "GPL-2.0-or-later", "unknown"),
    ("GNU General Public License v3.0 or later", "GPL-3.0-or-later", "unknown"),
    ("GNU Lesser General Public License, version 2.1", "LGPL-2.1", "unknown"),
    ("https://www.gnu.org/licenses/agpl-3.0.en.html", "AGPL-3.0", "unknown"),
    ("cc_by_sa_3_0", "CC-BY-SA-3.0", "attribution"),
    ("CC BY 4.0 International", "CC-BY-4.0", "attribution"),
    ("CC-BY-SA-3.0-IGO", "CC-BY-SA-3.0", "attribution"),
    ("Creative Commons Attribution-Non-Commercial 4.0", "CC-BY-NC-4.0", "unknown"),
    ("https://creativecommons.org/licenses/by/4.0/legalcode.de", "CC-BY-4.0", "attribution"),
    ("http://creativecommons.org/publicdomain/mark/1.0/", "PDM-1.0", "public domain"),
    ("Licensed under http://opensource.org/licenses/MIT", "MIT", "permissive"),
    ("all rights reserved", None, "unknown"),
    ("other", None, "unknown"),
]


@pytest.mark.parametrize(("written", "name", "kind"), NAMES)
def test_every_spelling_of_a_licence_has_one_name_and_class(written: str, name: str | None, kind: str):
    assert (named(written), class_of(written)) == (name, kind)
    assert name is None or class_of(name) == kind


def licence(body: str = "", head: str = "", **fields) -> str | None:
    page = thin(f"<html><head>{head}</head><body><p>A mill.</p>{body}</body></html>".encode())
    tree = HTMLTree.parse_from_bytes(page.data, "utf-8")
    head = tree.head.html if tree.head else ""
    return stated(page, head, head_metas(head), tree.body, Sent(fields=fields)).license


LINK = f'<a href="{CC}">CC BY 4.0</a>'
REL = f'<a rel="license" href="{CC}">CC BY 4.0</a>'


@pytest.mark.parametrize(
    "body",
    [
        f"<figure><img src=a><figcaption>{REL}</figcaption></figure>",
        f"<div class='wp-caption'><img src=a> {REL}</div>",
        f"<p><img src=a> Jane, {LINK}</p>",
        f"<p>Photo by Jane, {REL}</p>",
        f"<div class='comments'><p>I put mine under {LINK}, a fine licence</p></div>",
        f"<p>Have you read <a href='{CC}'>this</a>?</p>",
        f"<p>This is not licensed under {LINK}.</p>",
        f"<aside>{REL}</aside>",
        f"<p>Dieser Text steht nicht unter der Lizenz {LINK}.</p>",
        f"<p>Ce texte n'est pas sous licence {LINK}.</p>",
        f"<p>Этот текст не под лицензией {LINK}.</p>",
        f"<p>Este texto no está bajo {LINK}.</p>",
    ],
)
def test_the_licence_of_a_part_or_of_a_commenter_is_not_that_of_the_page(body: str):
    assert licence(body) is None


@pytest.mark.parametrize(
    ("body", "head", "fields"),
    [
        (f"<footer>{REL}</footer>", "", {}),
        (f'<p><A REL="License" HREF="{CC}">CC BY</A></p>', "", {}),
        (f"<footer>Except where noted, the content of this site is under {LINK}</footer>", "", {}),
        (f"<p>This article is licensed under {LINK}</p>", "", {}),
        ("", f'<link rel="license" href="{CC}">', {}),
        ("", f'<meta name="dc.rights" content="{CC}">', {}),
        ("", f'<script type="application/ld+json">{{"@type": "Article", "license": "{CC}"}}</script>', {}),
        ("", "", {"link": f'<{CC}>; rel="license"'}),
    ],
)
def test_what_is_declared_for_the_page_is_its_licence(body: str, head: str, fields: dict):
    assert licence(body, head, **fields) == "CC-BY-4.0"


@pytest.mark.parametrize(
    "head",
    [
        '<meta name="rights" content="All rights reserved. Not under the MIT License.">',
        '<meta name="license" content="not MIT">',
        f'<script type="application/ld+json">{{"@type": "ImageObject", "license": "{CC}"}}</script>',
    ],
)
def test_words_that_deny_a_licence_and_the_licence_of_a_picture_state_none(head: str):
    assert licence(head=head) is None
