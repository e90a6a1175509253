"""Is a rewriting one? Cleans a model's output and names the first fault it finds, against the passage it rewrites.

Model-free: lengths, n-grams, numbers, names, scripts and function words. `benchmarks` apart, nothing here judges how
good a text is. Refuses (as a fault) what was cut off, declined, copied, shortened to nothing or embroidered.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import BaseModel, Field

from ..engines.cache import Reply

Share = Annotated[float | None, Field(ge=0, le=1)]


class Checks(BaseModel, frozen=True, extra="forbid"):
    """Bounds; None: not checked."""

    length: tuple[float, float] | None = (0.3, 2.5)  # output / passage, characters without white space
    novelty: Share = None  # least share of new word 4-grams
    numbers: Share = None  # least share of the passage's numbers kept
    invented: Share = None  # largest share of numbers that are new
    names: Share = None  # least share of the passage's names kept
    questions: bool = False
    language: bool = True


_PREAMBLE = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|absolutely|okay|ok)\b[^\n]{0,120}[:!.]\s*\n"
    r"|(?:sure|certainly|of course|absolutely|okay|ok)[,!.]\s+(?=here\b)"
    r"|(?:here(?:['’]s| is| are)|below is|the following is)\b[^\n]{0,160}:\s*(?:\n|$)"
    r"|(?:rewritten|rephrased|paraphrased?|simplified)(?: (?:passage|text|version))?\s*:\s*)",
    re.IGNORECASE,
)
_AFTERWORD = re.compile(
    r"\n+\s*(?:\(?note:|i hope (?:this|that)|let me know|please let me|feel free|is there anything)"
    r"[^\n]*(?:\n[^\n]*)?\s*$",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m (?:very )?sorry|i am sorry|sorry,|i apologi[sz]e"
    r"|i (?:can(?:no|['’])t|am (?:not able|unable)|won['’]t)\b|as an? (?:ai|artificial|language|large language)\b"
    r"|unfortunately,? i (?:can|am)|i do not have (?:access|the ability))",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^\s*```\w*\n(.*?)\n?```\s*$", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+")
_NAME = re.compile(r"(?:(?<=[^\W\d_] )|(?<=[,;] ))[^\W\d_][\w’'-]{2,}")
_ENDS = ".!?…。！？\"”’'»)]"
_PAIR = re.compile(r"question:.+?\n+\s*answer:.+?(?=\n+\s*question:|\Z)", re.IGNORECASE | re.DOTALL)


def cleaned(text: str) -> str:
    """The output without code fences, quotation marks around everything, announcements and afterwords."""
    text = text.strip()
    if found := _FENCE.match(text):
        text = found[1].strip()
    for _ in range(2):
        text = _PREAMBLE.sub("", text).strip()
    text = _AFTERWORD.sub("", text).strip()
    if len(text) > 2 and text[0] in '"“' and text[-1] in '"”' and not set(text[1:-1]) & set('"“”'):
        text = text[1:-1].strip()
    return text


def fault(passage: str, text: str, reply: Reply, checks: Checks) -> str | None:
    """The first thing that is wrong with a cleaned output, or None. The name of a check, then what was found."""
    if reply.error is not None:
        return f"request: {reply.error}"
    if not text:
        return "empty"
    if _REFUSAL.match(text[:200]):
        return f"refusal: {text[:60]!r}"
    if reply.finish == "length" or text[-1] not in _ENDS:
        return "incomplete"
    return _measured_fault(passage, text, checks)


def _measured_fault(passage: str, text: str, checks: Checks) -> str | None:
    if checks.length is not None:
        ratio = _solid(text) / max(1, _solid(passage))
        if not checks.length[0] <= ratio <= checks.length[1]:
            return f"length: {ratio:.2f}"
    if checks.questions and not _pairs(text):
        return "questions: not pairs of question and answer"
    if checks.language and (told := _foreign(passage, text)):
        return f"language: {told}"
    if checks.novelty is not None and (novel := novelty(passage, text)) < checks.novelty:
        return f"novelty: {novel:.2f}"
    before, after = numbers(passage), numbers(text)
    if checks.numbers is not None and (kept := _share(before, after.__contains__)) < checks.numbers:
        return f"numbers: {kept:.2f} kept"
    if checks.invented is not None and (new := 1 - _share(after, before.__contains__)) > checks.invented:
        return f"invented: {new:.2f} of the numbers"
    if checks.names is not None:
        folded = text.casefold()
        kept = _share(names(passage), lambda name: name.casefold() in folded)
        if kept < checks.names:
            return f"names: {kept:.2f} kept"
    return None


def _solid(text: str) -> int:
    return sum(map(len, text.split()))


def _pairs(text: str) -> bool:
    """Whether the text is pairs of question and answer, and nothing of substance beside them."""
    return bool(_PAIR.search(text)) and _solid(_PAIR.sub("", text)) <= 0.1 * _solid(text)


def novelty(passage: str, text: str) -> float:
    """Share of the text's word 4-grams that the passage does not have; 1 for a text without one."""
    old, new = set(_grams(passage)), _grams(text)
    return sum(gram not in old for gram in new) / len(new) if new else 1.0


def _grams(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    if len(words) * 12 < len(text):  # a script without spaces: characters are the words
        words = [character for character in text if not character.isspace()]
    return list(zip(words, words[1:], words[2:], words[3:], strict=False))


def numbers(text: str) -> set[str]:
    """Numbers as they are written, without separators of thousands and zeros after the point."""
    return {_plain(found) for found in _NUMBER.findall(text)}


def _plain(number: str) -> str:
    number = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", number).replace(",", ".")
    return number.rstrip("0").rstrip(".") if "." in number else number


def names(text: str) -> set[str]:
    """Capitalised words within a sentence, of scripts that have capitals; none for German-like capitalisation."""
    found = {name for name in _NAME.findall(text) if name[0].isupper()}
    words = len(_WORD.findall(text))
    return found if words and len(found) * 4 <= words else set()


def _share(wanted: set[str], held: Callable[[str], bool]) -> float:
    """Share of `wanted` that is held; 1 where nothing is wanted."""
    return sum(map(held, wanted)) / len(wanted) if wanted else 1.0


FUNCTION_WORDS = {
    "en": "the of and to in is that was for with as on are it this by from have be not",
    "de": "der die und das ist nicht ein eine den von zu mit sich auf für dem des auch wird als",
    "fr": "le la les des et est une dans que qui pour pas sur avec du au sont par plus nous",
    "es": "el los las una que por con para es del se como más pero sus fue este son al su",
    "it": "il che di una per non sono con del della gli nel anche alla più come ha questo dei è",
    "pt": "que não uma para com os dos como mas foi ao ele das tem à seu sua ou quando são",
    "nl": "de het een en van is dat niet op te zijn voor met die ook aan er maar bij als",
    "sv": "och att det som en på är av för med den till inte om ett har de jag var från",
    "pl": "nie się na jest do że to jak za od przez po ale dla tym był jego które oraz są",
}
_BY_WORD: dict[str, list[str]] = {}
for _language, _words in FUNCTION_WORDS.items():
    for _word in _words.split():
        _BY_WORD.setdefault(_word, []).append(_language)


def _foreign(passage: str, text: str) -> str | None:
    """What differs where the output is in another script or, by function words, clearly in another language."""
    scripts = _script(passage), _script(text)
    if None not in scripts and scripts[0] != scripts[1]:
        return f"{scripts[0]} became {scripts[1]}"
    if scripts[0] == "latin":
        languages = _language_of(passage), _language_of(text)
        if None not in languages and languages[0] != languages[1]:
            return f"{languages[0]} became {languages[1]}"
    return None


_SCRIPTS = (
    ("latin", 0x41, 0x24F),
    ("greek", 0x370, 0x3FF),
    ("cyrillic", 0x400, 0x52F),
    ("hebrew", 0x590, 0x5FF),
    ("arabic", 0x600, 0x6FF),
    ("indic", 0x900, 0xDFF),
    ("thai", 0xE00, 0xE7F),
    ("kana", 0x3040, 0x30FF),
    ("hangul", 0xAC00, 0xD7AF),
    ("han", 0x4E00, 0x9FFF),
)


def _script(text: str) -> str | None:
    """The script of most letters; kana and han are one, since Japanese mixes them. None with few letters."""
    counts: Counter[str] = Counter()
    for character in text[:2000]:
        if character.isalpha():
            code = ord(character)
            name = next((name for name, low, high in _SCRIPTS if low <= code <= high), "other")
            counts["han" if name == "kana" else name] += 1
    if sum(counts.values()) < 10:
        return None
    name, most = counts.most_common(1)[0]
    return name if most * 3 >= 2 * sum(counts.values()) else None


def _language_of(text: str) -> str | None:
    """The language whose function words are clearly the most frequent; None where that is not clear."""
    hits = Counter(language for word in _words_of(text) for language in _BY_WORD.get(word, ()))
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < 4:
        return None
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] >= 2 * ranked[1][1] else None


def _words_of(text: str) -> Iterable[str]:
    return (word.casefold() for word in _WORD.findall(text[:4000]))
