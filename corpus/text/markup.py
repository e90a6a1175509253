"""Names of HTML that block segmentation knows: elements, and cues in `class`, `id`, `role` and `itemprop`.

Both become small tables that a compiled kernel looks up byte by byte: element names by a number made of their
letters, cues by one automaton over letters and word boundaries (`^`), so that `^ad^` finds "ad" but not "header".
"""

from collections import deque
from functools import cache

import numpy as np

INLINE, BLOCK, SKIP, VOID = 0, 1, 2, 3

# element -> bit of the ancestor mask; elements that only cut text into blocks have none
ANCESTORS = ("article", "main", "nav", "footer", "header", "aside", "form", "figure", "li", "table", "blockquote", "p")
_BLOCKS = """p div h1 h2 h3 h4 h5 h6 li ul ol dl dt dd table thead tbody tfoot tr td th section article aside main
    header footer nav blockquote pre figure figcaption form fieldset address center details summary hr body html
    caption colgroup menu dir hgroup search legend option"""
_SKIPPED = """script style svg noembed noframes template select textarea iframe object canvas audio video head button
    input map applet datalist dialog progress meter noscript xmp"""
_VOID = "br img wbr area base col embed input link meta param source track hr"
RAW_TEXT = ("script", "style", "xmp", "iframe", "noembed", "noframes", "noscript")  # not parsed, end at their own tag

CUES = {
    "body": "articlebody storybody entrycontent postcontent articlecontent bodycopy richtext ^prose^ articletext "
    "storycontent bodytext postbody blogpost maintext storytext articlecopy contentbody",
    "content": "article story ^post entry content ^main ^text ^body^ blog ^page^",
    "comment": "comment disqus respond ^reply discuss ^thread reader",
    "navigation": "^nav menu breadcrumb pagination ^pager ^tab^ ^tabs toolbar skiplink sitemap",
    "footer": "footer ^foot copyright colophon legal disclaimer",
    "header": "header masthead ^top^ topbar",
    "sidebar": "sidebar ^side^ ^rail aside widget ^right^ secondary complementary",
    "related": "related recommend recirc readnext ^more^ moreon trending popular mostread latest outbrain taboola "
    "teaser promo ^also^ upnext ^next^ suggest zergnet ^trc nextarticle morefrom mostviewed headlines",
    "social": "share social facebook twitter follow addthis sharing instagram pinterest whatsapp",
    "advertising": "^ad^ ^ads^ advert sponsor ^dfp adslot ^gpt^ adunit commercial affiliate",
    "subscribe": "newsletter subscri signup login register paywall cookie consent gdpr modal popup overlay ^donat "
    "signin membership ^cta^ regwall promobox optin",
    "byline": "author byline ^bio^ contributor writer ^by^ profile",
    "date": "date ^time^ timestamp ^meta^ publish dateline ^info^ readtime",
    "caption": "caption credit ^photo figcaption ^image gallery media video slideshow ^img carousel",
    "tags": "^tag^ ^tags keyword topic categor ^label",
    "title": "title headline heading ^hed^",
    "summary": "summary ^dek^ ^deck^ ^lead^ ^lede^ intro excerpt standfirst subtitle subhead description abstract",
    "tools": "print^ ^tool utility ^btn button icon toggle ^rating",
    "hidden": "hidden ^hide visuallyhidden sronly screenreader noprint displaynone offscreen invisible",
    "quote": "pullquote blockquote ^quote",
    "notes": "footnote reference citation correction editorsnote endnote",
    "listing": "^list^ ^card ^grid ^feed^ archive ^item^ ^tile river",
}
CUE_NAMES = tuple(CUES)
FORMULA_CUES = "katex mathjax ^mjx mwe^math latex ^tex^ ^math^"  # bit FORMULA: the page may hold formulas
NOSCRIPT_CUE = "^noscript^"  # bit NOSCRIPT: what thinning made of a `noscript` element
VEILED, NOSCRIPT, FORMULA, UNSEEN = 59, 60, 61, 62  # VEILED: `aria-hidden`


def number(name: str) -> int:
    """An element's name as the kernel computes it: base 37, letters and digits, the first 12 characters."""
    value = 0
    for c in name[:12]:
        value = value * 37 + (ord(c) - 96 if "a" <= c <= "z" else ord(c) - 21 if c.isdigit() else 0)
    return value


@cache
def elements() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """(numbers sorted, kind of each, ancestor bits of each, names in the same order)."""
    kinds = dict.fromkeys(_BLOCKS.split(), BLOCK)
    kinds.update(dict.fromkeys(_SKIPPED.split(), SKIP))
    kinds.update({name: VOID for name in _VOID.split() if name not in kinds})
    kinds.update(dict.fromkeys(("a", "code", "b", "strong", "em", "i", "span"), INLINE))
    kinds["input"] = kinds["hr"] = VOID
    names = tuple(sorted(kinds, key=number))
    bits = [1 << ANCESTORS.index(name) if name in ANCESTORS else 0 for name in names]
    return (
        np.array([number(name) for name in names], np.int64),
        np.array([kinds[name] for name in names], np.int64),
        np.array(bits, np.int64),
        names,
    )


@cache
def cue_automaton() -> tuple[np.ndarray, np.ndarray]:
    """(S, 27) next state by symbol (0 boundary, 1 to 26 letters), and (S,) the cues that a state has found."""
    step: list[dict[int, int]] = [{}]
    found = [0]
    for bit, words in [*enumerate(CUES.values()), (NOSCRIPT, NOSCRIPT_CUE), (FORMULA, FORMULA_CUES)]:
        for word in words.split():
            state = 0
            for c in word:
                symbol = 0 if c == "^" else ord(c) - 96
                if symbol not in step[state]:
                    step.append({})
                    found.append(0)
                    step[state][symbol] = len(step) - 1
                state = step[state][symbol]
            found[state] |= 1 << bit
    table = np.zeros((len(step), 27), np.int32)
    fail = [0] * len(step)
    queue = deque(step[0].values())
    for symbol, state in step[0].items():
        table[0, symbol] = state
    while queue:
        state = queue.popleft()
        found[state] |= found[fail[state]]
        for symbol in range(27):
            after = step[state].get(symbol)
            if after is None:
                table[state, symbol] = table[fail[state], symbol]
            else:
                fail[after] = int(table[fail[state], symbol])
                table[state, symbol] = after
                queue.append(after)
    return table, np.array(found, np.int64)
