"""Language tags as markup and HTTP state them (BCP 47), and the labels of the model that comes along."""

import re


def primary_language(tag: str) -> str | None:
    """`pt` of `pt-BR` or `pt_BR`; None for what is no language tag, or several."""
    found = LANGUAGE_TAG.fullmatch(tag.strip().replace("_", "-").lower())
    if not found or found[1] in NO_LANGUAGES:
        return None
    return found[1] if len(found[1]) == 3 or found[1] in TWO_LETTERS else None


# of BCP 47: script, region, variants, extensions; "utf-8" is none of these
LANGUAGE_TAG = re.compile(
    r"([a-z]{2,3})(?:-[a-z]{3}){0,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*"
    r"(?:-[a-z\d](?:-[a-z\d]{2,8})+)*(?:[.@][a-z\d-]+)?"
)
NO_LANGUAGES = ("utf", "iso", "und", "mul", "zxx", "mis", "win", "url", "non", "all", "any", "ltr", "rtl", "yes", "nul")
TWO_LETTERS = frozenset(  # ISO 639-1, with those that were withdrawn and are still in use
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw "
    "ja ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm "
    "sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh "
    "zu".split()
)


COVERED = (  # the labels of the model that comes along
    "af am ar ast az be bg bn bo br bs ca ceb ckb co cs cv cy da de dsb dv el en eo es et eu fa fi fo fr fy ga gd "
    "gl gu ha he hi hr hsb ht hu hy id ig ilo is it ja jv ka kk km kn ko ku ky la lb lg lo lt lv mg mi mk ml mn mr "
    "ms mt my nb ne nl nn oc or os pa pl ps pt ro ru rw sa sah sat si sk sl sn so sq sr st su sv sw szl ta te tg th "
    "tk tl tn tr ts tt ug uk ur uz vi xh yi yo zh zu"
)
