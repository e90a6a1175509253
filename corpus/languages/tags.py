"""Language tags as markup and HTTP state them (BCP 47), and the labels of the model that comes along."""

import re


def primary_language(tag: str) -> str | None:
    """`pt` of `pt-BR`, `pt_BR` or `por`, `he` of `iw`; None for what is no language tag, or several."""
    found = LANGUAGE_TAG.fullmatch(tag.strip().replace("_", "-").lower())
    if not found or found[1] in NO_LANGUAGES:
        return None
    code = SHORTER.get(found[1], found[1])
    return code if len(code) == 3 or code in TWO_LETTERS else None


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
# codes of three letters (ISO 639-2, bibliographic ones too) that BCP 47 writes with two, and those that were withdrawn
SHORTER: dict[str, str] = {
    longer: shorter
    for longer, _, shorter in (
        pair.partition(":")
        for pair in (
            "aar:aa abk:ab ave:ae afr:af aka:ak amh:am arg:an ara:ar asm:as ava:av aym:ay aze:az bak:ba bel:be bul:bg "
            "bis:bi bam:bm ben:bn bod:bo tib:bo bre:br bos:bs cat:ca che:ce cha:ch cos:co cre:cr ces:cs cze:cs chu:cu "
            "chv:cv cym:cy wel:cy dan:da deu:de ger:de div:dv dzo:dz ewe:ee ell:el gre:el eng:en epo:eo spa:es est:et "
            "eus:eu baq:eu fas:fa per:fa ful:ff fin:fi fij:fj fao:fo fra:fr fre:fr fry:fy gle:ga gla:gd glg:gl grn:gn "
            "guj:gu glv:gv hau:ha heb:he hin:hi hmo:ho hrv:hr scr:hr hat:ht hun:hu hye:hy arm:hy her:hz ina:ia ind:id "
            "ile:ie ibo:ig iii:ii ipk:ik ido:io isl:is ice:is ita:it iku:iu jpn:ja jav:jv kat:ka geo:ka kon:kg kik:ki "
            "kua:kj kaz:kk kal:kl khm:km kan:kn kor:ko kau:kr kas:ks kur:ku kom:kv cor:kw kir:ky lat:la ltz:lb lug:lg "
            "lim:li lin:ln lao:lo lit:lt lub:lu lav:lv mlg:mg mah:mh mri:mi mao:mi mkd:mk mac:mk mal:ml mon:mn mar:mr "
            "msa:ms may:ms mlt:mt mya:my bur:my nau:na nob:nb nde:nd nep:ne ndo:ng nld:nl dut:nl nno:nn nor:no nbl:nr "
            "nav:nv nya:ny oci:oc oji:oj orm:om ori:or oss:os pan:pa pli:pi pol:pl pus:ps por:pt que:qu roh:rm run:rn "
            "ron:ro rum:ro rus:ru kin:rw san:sa srd:sc snd:sd sme:se sag:sg sin:si slk:sk slo:sk slv:sl smo:sm sna:sn "
            "som:so sqi:sq alb:sq srp:sr scc:sr ssw:ss sot:st sun:su swe:sv swa:sw tam:ta tel:te tgk:tg tha:th tir:ti "
            "tuk:tk tgl:tl tsn:tn ton:to tur:tr tso:ts tat:tt twi:tw tah:ty uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi "
            "vol:vo wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh chi:zh zul:zu iw:he in:id ji:yi jw:jv"
        ).split()
    )
}

COVERED = (  # the labels of the model that comes along
    "af am ar ast az be bg bn bo br bs ca ceb ckb co cs cv cy da de dsb dv el en eo es et eu fa fi fo fr fy ga gd "
    "gl gu ha he hi hr hsb ht hu hy id ig ilo is it ja jv ka kk km kn ko ku ky la lb lg lo lt lv mg mi mk ml mn mr "
    "ms mt my nb ne nl nn oc or os pa pl ps pt ro ru rw sa sah sat si sk sl sn so sq sr st su sv sw szl ta te tg th "
    "tk tl tn tr ts tt ug uk ur uz vi xh yi yo zh zu"
)
