"""Serbian, Bosnian and Croatian in Latin letters, told apart by the reflex of yat: `reka` is Serbian, `rijeka` is not.

A model of n-grams sees three all but equal languages. Serbian of the press is ekavian, Bosnian and Croatian are
ijekavian, so words that differ by nothing else decide. Where a text has none of them, the model's ranking stays.
"""

import re
from collections.abc import Sequence

EKAVIAN, IJEKAVIAN = "sr", ("bs", "hr")
# beginnings of words: ekavian and ijekavian; those with $ are whole words
_PAIRS = """
posle/poslij pre$/prije deo$/dio$ delov/dijelov delu$/dijelu reka$/rijeka reke$/rijeke reku$/rijeku reci$/rijeci
vreme/vrijeme mesto/mjesto mesta/mjesta mestu/mjestu mesec/mjesec telo$/tijelo tela$/tijela reč$/riječ
reči/riječi dete$/dijete deca/djeca dece$/djece deci$/djeci decu$/djecu devoj/djevoj dečak/dječak sneg/snijeg
svet$/svijet sveta$/svijeta svetsk/svjetsk svetu$/svijetu čovek/čovjek čoveč/čovječ cvet/cvijet cveć/cvijeć
beo$/bijel bela$/bijela beli$/bijeli belog/bijelog bele$/bijele lepo$/lijepo lepa$/lijepa lepi$/lijepi
sreda$/srijeda sredu/srijedu srede$/srijede svetlo/svjetlo uvek/uvijek ovde/ovdje gde$/gdje negde/negdje
nedelj/nedjelj zahtev/zahtjev izveštaj/izvještaj izvešt/izvješt obavešt/obavješt savet/savjet bezbed/bezbjed
promen/promijen izmen/izmijen zamen/zamijen primen/primijen vredn/vrijedn vrede$/vrijede cena$/cijena
cene$/cijene cenu$/cijenu sme$/smije smeju/smiju hteo/htio hteli/htjeli želeo/želio želel/željel video$/vidio
videl/vidjel voleo/volio volel/voljel živeo/živio živel/živjel umeo/umio umesto/umjesto veruj/vjeruj vera/vjera
levo$/lijevo levi/lijevi leve/lijeve lek$/lijek lekov/lijekov lekar/ljekar leto$/ljeto leta$/ljeta letnj/ljetnj
mera/mjera mere$/mjere meri$/mjeri merama/mjerama menja/mijenja nemačk/njemačk nemac/nijemac pevač/pjevač
pesm/pjesm pesn/pjesn peške/pješke rešen/rješen reši/riješi rešav/rješav sever/sjever sedn/- seća/sjeća
seti/sjeti srem/srijem strel/strijel teraj/tjeraj uspeh/uspjeh uspeš/uspješ uspel/uspjel uspeo/uspio
zvezd/zvijezd vek$/vijek veka$/vijeka vekov/vjekov vest/vijest vesti/vijesti vetar/vjetar verovat/vjerovat
opredel/opredijel podel/podijel pobed/pobjed povred/povrijed sledeć/sljedeć sled/slijed stena/stijena hleb/hljeb
delim/djelim delatn/djelatn predsednik/predsjednik predsedn/predsjedn ponedeljak/ponedjeljak ponedelj/ponedjelj
dve$/dvije obe$/obje pogreš/pogriješ greš/griješ preti$/prijeti primer/primjer smer/smjer namer/namjer
zaseda/zasjeda poseti/posjeti poset/posjet razumel/razumjel ocen/ocijen procen/procijen delov/dijelov
reše/riješe sveć/svijeć crep/crijep
"""
_WORD = re.compile(r"[a-zčćšžđ]+")


def _forms(side: int) -> re.Pattern[str]:
    """What matches a word of that side of the pairs."""
    forms = [pair.split("/")[side] for pair in _PAIRS.split()]
    return re.compile("|".join(sorted({one[:-1] if one.endswith("$") else one + ".*" for one in forms if one != "-"})))


_EKAVIAN, _IJEKAVIAN = _forms(0), _forms(1)


def reflexes(text: str) -> tuple[int, int]:
    """(words of ekavian form, words of ijekavian form)."""
    words = _WORD.findall(text.lower())
    return sum(_EKAVIAN.fullmatch(word) is not None for word in words), sum(
        _IJEKAVIAN.fullmatch(word) is not None for word in words
    )


def told_apart(text: str, ranked: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The ranking of labels with the scores of the three put where the words of the text have them."""
    scores = dict(ranked)
    three = {label: scores[label] for label in (EKAVIAN, *IJEKAVIAN) if label in scores}
    if not ranked or ranked[0][0] not in three or len(three) < 2 or EKAVIAN not in three:
        return list(ranked)
    ekavian, ijekavian = reflexes(text)
    if ekavian == ijekavian:
        return list(ranked)
    whole, sure = sum(three.values()), ekavian / (ekavian + ijekavian)
    own = max(three[EKAVIAN], whole * sure) if sure > 0.5 else min(three[EKAVIAN], whole * sure)
    rest = {label: value for label, value in three.items() if label != EKAVIAN}
    total = sum(rest.values()) or 1.0
    scores.update({EKAVIAN: own} | {label: (whole - own) * value / total for label, value in rest.items()})
    return sorted(scores.items(), key=lambda pair: -pair[1])
