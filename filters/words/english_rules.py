"""The word rules of spaCy's blank English tokenizer, which datatrove counts words with, restated for one chunk.

A chunk is what stands between white space. `split(chunk)` gives the lengths of its tokens: prefixes and suffixes are
peeled off, what is left is a special case, a URL, or is cut at infixes; special cases that show up in the pieces are
joined again. Differs from spaCy in letters of scripts that its lists leave out (a letter here is a letter by Unicode
category) and in chunks of more than `LONGEST` characters, which are left whole.

The rules are those of spaCy 3.8 (MIT licence), written anew; the peer in the tests is spaCy itself.
"""

import functools
import itertools
import re
from collections.abc import Sequence

LONGEST = 2000

# ranges that spaCy takes for letters without case, whatever their category
_UNCASED = (
    "\u1200-\u137f\u0980-\u09ff\u0591-\u05f4\ufb1d-\ufb4f\u0900-\u097f\u0c80-\u0cff\u0b80-\u0bff\u0c00-\u0c7f"
    "\u0d80-\u0dff\u0620-\u064a\u0671-\u06d3\uac00-\ud7af\u1100-\u11ff\u3040-\u30ff\u2e80-\u2fdf\u3000-\u303f"
    "\u31c0-\u31ef\u3200-\u9fff\uf900-\ufaff\ufe30-\ufe4f\U0001f200-\U0001f2ff\U00020000-\U0002fa1f"
)
_CASED = (("A-Z", "a-z"), ("\u00c0-\u00d6\u00d8-\u00de", "\u00df-\u00f6\u00f8-\u00ff"))


@functools.cache
def _letters() -> tuple[str, str]:
    """Upper and lower case letters of Latin, Greek and Cyrillic, as the inside of a character class."""
    blocks = [(0x100, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x1E00, 0x1FFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF)]
    points = [chr(point) for first, last in (*blocks, (0xFF21, 0xFF5A)) for point in range(first, last + 1)]
    upper = "".join(pair[0] for pair in _CASED) + "".join(char for char in points if char.isupper())
    lower = "".join(pair[1] for pair in _CASED) + "".join(char for char in points if char.islower())
    return upper + _UNCASED, lower + _UNCASED


@functools.cache
def _symbols() -> str:
    """Characters of category So, as the inside of a character class."""
    import unicodedata

    ranges: list[str] = []
    points = [point for point in range(0x20000) if unicodedata.category(chr(point)) == "So"]
    for _, run in itertools.groupby(enumerate(points), lambda pair: pair[1] - pair[0]):
        members = [point for _, point in run]
        ranges.append(chr(members[0]) + (f"-{chr(members[-1])}" if len(members) > 1 else ""))
    return "".join(ranges)


_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_SIGNS = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч "
    "кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тб"
).split()
_HYPHENS = ("---", "--", "——", "-", "–", "—", "~")


def _any(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


@functools.cache
def _patterns() -> tuple[re.Pattern, re.Pattern, re.Pattern, re.Pattern]:
    """Prefix, suffix, infix and URL."""
    upper, lower = _letters()
    single = f"{re.escape(_PUNCTUATION + _QUOTES)}{_symbols()}"
    quotes = re.escape(_QUOTES)
    prefix = rf"\.\.+|US\$|[CA]\$|\+(?![0-9])|[§%=—–{re.escape(_SIGNS)}{single}]"
    money = rf"US\$|[CA]\$|[{re.escape(_SIGNS)}]"
    suffix = (
        rf"(?:\.\.+|['’][sS]|……|[{single}—–]|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9])(?:{money}|{_any(_UNITS)})"
        rf"|(?<=[0-9{lower}%²\-+|?:{re.escape(_PUNCTUATION)}{quotes}])\.|(?<=[{upper}][{upper}])\.)$"
    )
    letters = upper + lower
    infix = (
        rf"\.\.+|…|[{_symbols()}]|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[{lower}{quotes}])\.(?=[{upper}{quotes}])"
        rf"|(?<=[{letters}]),(?=[{letters}])|(?<=[{letters}0-9])(?:{_infix_hyphens()})(?=[{letters}])"
        rf"|(?<=[{letters}0-9])[:<>=/](?=[{letters}])"
    )
    word = "[A-Za-z0-9\u00a1-\uffff]"
    octet = r"(?:25[0-5]|2[0-4]\d|1?\d{1,2})"
    part = r"(?:\.\d{1,3})"
    private = rf"(?!(?:10|127){part}{{3}}|(?:169\.254|192\.168){part}{{2}}|172\.(?:1[6-9]|2\d|3[01]){part}{{2}})"
    address = rf"{private}(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.{octet}){{2}}\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])"
    host = rf"(?:(?:{word}[A-Za-z0-9\u00a1-\uffff_-]{{0,62}})?{word}\.)+[{lower}]{{2,63}}"
    url = rf"(?:[\w+\-.]{{2,}}://)?(?:\S+(?::\S*)?@)?(?:{address}|{host})(?::\d{{2,5}})?(?:[/?#]\S*)?"
    return re.compile(prefix), re.compile(suffix), re.compile(infix), re.compile(url)


def _infix_hyphens() -> str:
    """In spaCy's order, in which the single hyphen comes first."""
    return "|".join(("-", "–", "—", "--", "---", "——", "~"))


_CONTRACTED = ["who", "what", "when", "where", "why", "how", "there", "that", "this", "these", "those"]
_KEPT_WHOLE = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore".split()
_WHOLE = (  # chunks that stay whole: contractions, places, months, titles, faces
    "'S 's \u2018S \u2018s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock "
    "O'clock lovin' Lovin' lovin Lovin havin' Havin' havin Havin doin' Doin' doin Doin goin' Goin' goin "
    "Goin nothin nothin' Nothin Nothin' nuthin nuthin' Nuthin Nuthin' ol ol' Ol Ol' somethin somethin' "
    "Somethin Somethin' em 'em ll 'll nuff 'nuff Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. "
    "Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. "
    "Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. "
    "Va. Wash. Wis. 'd a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. "
    "Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. \\t \\n "
    "— ' \\\") <space> '' C++ ä. ö. ü. :) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: "
    ":} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ "
    "=| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x "
    ":D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V "
    "o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) "
    "(*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*> "
).split()
_PARTED = (
    "y'|all y|all how|'d|'y How|'d|'y not|'ve not|ve Not|'ve Not|ve can|not Can|not gon|na Gon|na got|ta Got|ta let|'s "
    "Let|'s c'm|on C'm|on"
).split()


@functools.cache
def special_cases() -> dict[str, tuple[str, ...]]:
    """Chunks with tokens of their own."""
    cases: dict[str, tuple[str, ...]] = {}

    def add(*parts: str) -> None:
        for first in (parts[0], parts[0].title()):
            for ending in (parts[1:], tuple(part.replace("'", "") if part != "n't" else "nt" for part in parts[1:])):
                cases["".join((first, *ending))] = (first, *ending)

    add("i", "'m")
    for first in ("i", "I"):
        for ending in (("'m", "a"), ("m", "a")):
            cases[first + "".join(ending)] = (first, *ending)
    for pronoun in ("i", "you", "he", "she", "it", "we", "they", *_CONTRACTED):
        for endings in (("'ll",), ("'ll", "'ve"), ("'d",), ("'d", "'ve")):
            add(pronoun, *endings)
    for pronoun in ("i", "you", "we", "they"):
        add(pronoun, "'ve")
    for pronoun in ("you", "we", "they"):
        add(pronoun, "'re")
    for pronoun in ("he", "she", "it"):
        add(pronoun, "'s")
    for word in _CONTRACTED:
        if word not in ("these", "those"):
            add(word, "'s")
        if word not in ("that", "this"):
            add(word, "'re")
            add(word, "'ve")
    for verb in "ca could do does did had may might must need ought sha should wo would".split():
        add(verb, "n't")
        add(verb, "n't", "'ve")
    for verb in ("could", "might", "must", "should", "would"):
        add(verb, "'ve")
    for verb in "ai are is was were have has dare".split():
        add(verb, "n't")
    for hour in range(1, 13):
        for period in ("a.m.", "am", "p.m.", "pm"):
            cases[f"{hour}{period}"] = (str(hour), period)
    for parted in _PARTED:
        cases[parted.replace("|", "")] = tuple(parted.split("|"))
    for whole in (*_WHOLE, *(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz")):
        cases[whole] = (whole,)
    for sign in "cfkCFK":
        cases[f"°{sign}."] = ("°", sign, ".")
    for word in _KEPT_WHOLE:
        cases.pop(word, None)
    for chunk, tokens in list(cases.items()):  # the same with a typographic apostrophe
        cases.setdefault(chunk.replace("'", "’"), tuple(token.replace("'", "’") for token in tokens))
    return cases


@functools.cache
def named() -> frozenset[str]:
    """Runs of letters and runs of digits that some rule knows by name: parts of special cases, units, currencies."""
    written = (*special_cases(), *_UNITS, "US", "C", "A", "s", "S")
    return frozenset(run for text in written for run in re.findall("[A-Za-z]+|[0-9]+", text))


@functools.cache
def _joins() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """First token -> (tokens that the rules alone would give, tokens of the special case) of cases that rules cut."""
    prefix, suffix, infix, _ = _patterns()
    found: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for chunk, tokens in special_cases().items():
        if prefix.match(chunk) or suffix.search(chunk) or infix.search(chunk):
            cut = tuple(_cut(chunk, {}))
            found.setdefault(cut[0], []).append((cut, tokens))
    return found


def split(chunk: str) -> list[str]:
    """The tokens of a chunk without white space."""
    if len(chunk) > LONGEST:
        return [chunk]
    cases = special_cases()
    if chunk in cases:
        return list(cases[chunk])
    return _joined(_cut(chunk, cases))


def _cut(chunk: str, cases: dict[str, tuple[str, ...]]) -> list[str]:
    prefix, suffix, infix, url = _patterns()
    before: list[str] = []
    after: list[str] = []
    size = -1
    while chunk and len(chunk) != size and chunk not in cases:
        size = len(chunk)
        head = match.end() if (match := prefix.match(chunk)) else 0
        if head and chunk[head:] in cases:
            before.append(chunk[:head])
            chunk = chunk[head:]
            break
        tail = _tail(chunk[head:], suffix)
        if tail and chunk[:-tail] in cases:
            after.append(chunk[-tail:])
            chunk = chunk[:-tail]
            break
        if head:
            before.append(chunk[:head])
        if tail:
            after.append(chunk[-tail:])
        chunk = chunk[head : len(chunk) - tail]
    middle: list[str] = []
    if chunk in cases:
        middle.extend(cases[chunk])
    elif chunk and ("." in chunk and url.fullmatch(chunk)):
        middle.append(chunk)
    elif chunk:
        start = 0
        for match in infix.finditer(chunk):
            if match.start() == 0:
                continue
            if match.start() != start:
                middle.append(chunk[start : match.start()])
            middle.append(match.group())
            start = match.end()
        if chunk[start:]:
            middle.append(chunk[start:])
    return before + middle + after[::-1]


def _tail(chunk: str, suffix: re.Pattern) -> int:
    """Characters of the longest suffix: a run of full stops, or one of at most four characters."""
    if chunk.endswith(".."):
        return len(chunk) - len(chunk.rstrip("."))
    match = suffix.search(chunk, max(0, len(chunk) - 4))
    return match.end() - match.start() if match else 0


def _joined(tokens: list[str]) -> list[str]:
    """The tokens with special cases put back where the rules had cut through them, the longest first."""
    if len(tokens) == 1:
        return tokens
    joins = _joins()
    if joins.keys().isdisjoint(tokens):
        return tokens
    found = [
        (len(cut), at, case)
        for at, token in enumerate(tokens)
        for cut, case in joins.get(token, ())
        if tuple(tokens[at : at + len(cut)]) == cut
    ]
    if not found:
        return tokens
    seen: set[int] = set()
    chosen: dict[int, tuple[int, tuple[str, ...]]] = {}
    for size, at, case in sorted(found, key=lambda match: (-match[0], match[1])):
        if at not in seen and at + size - 1 not in seen:
            chosen[at] = (size, case)
        seen.update(range(at, at + size))
    out: list[str] = []
    at = 0
    while at < len(tokens):
        size, case = chosen.get(at, (1, (tokens[at],)))
        out.extend(case)
        at += size
    return out
