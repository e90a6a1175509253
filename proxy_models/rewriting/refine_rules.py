"""The built-in refiner: a program for a document by rules, without any model, thousands of documents a second.

Two kinds of rules, which only ever remove whole lines or repair broken characters. Words: a short line that says what
only page furniture says (cookie notices, sign-in, share, copyright, "read more"). Shape: outside the stretch of lines
that holds the prose (the best-scoring run, prose counting for and short lines against), short lines that end no
sentence are menus; inside, only long unbroken runs of very short lines are. Every operation carries its rule's name.

Refuses to judge the shape of what it cannot judge: code, tables, verse, and documents without enough prose lose lines
to the rules about words alone. Measured on pages with known furniture in benchmarks/refine_precision.py.
"""

import re
from collections import Counter
from collections.abc import Sequence

from .programs import Normalize, Program, RemoveLines
from .refine_phrases import ANYWHERE, FROM_START, TRIGGERS

LEAST_PROSE = 60  # words in prose lines, below which the shape of a document says nothing
LEAST_MENU = 6  # short lines on one side of the prose, below which they are titles and signatures, not a menu
LONGEST_LINE = 400  # characters; longer lines are never judged by their words, except for cookie notices


def _alternatives(rules: dict[str, tuple[str, ...]]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{'|'.join(patterns)})" for name, patterns in rules.items()))


_FROM_START, _ANYWHERE = _alternatives(FROM_START), _alternatives(ANYWHERE)
_BULLET = re.compile(r"[\s•·*▪◦|>»›\-–—]+")
_CODE = re.compile(
    r"[{};=`]\s*$|^\s*[\\|+`<\[=#~]|^\s*(?:def|class|import|from|return|if|for|while|var|let|const|#include|//|/\*|>>>|\$)\s|[)\]]\s*[:{]\s*$|\w\(\w*\)"
)
_CODE_MARKS = frozenset("{};=`\\|+<[#~()>/$")
_LIST = frozenset("•·*▪◦|>»›-–—")
_ENDS = frozenset(".!?…:;,\"”’')")
_STOPS = frozenset('.!?…"”’)')


def refine_program(text: str) -> Program:
    """The program for one document, its line numbers counted over the whole document."""
    lines = text.split("\n")
    folded = text.casefold()
    triggered = _triggered(folded)
    gone: dict[int, str] = {}
    words: list[int] = []  # words of each line; 0 where blank
    kinds: list[str] = []  # "": blank, p: prose, s: short, o: other
    code = 0
    for at, (line, lower) in enumerate(zip(lines, folded.split("\n"), strict=True)):
        bare = line.strip()
        if not bare:
            words.append(0)
            kinds.append("")
            continue
        count = bare.count(" ") + 1
        words.append(count)
        if len(bare) <= LONGEST_LINE and (found := _furniture(lower.strip(), at in triggered)):
            gone[at] = found
            kinds.append("f")
            continue
        ends = bare[-1] in _ENDS
        if (count >= 12 and ends) or count >= 25:
            kinds.append("p")
        elif count <= 9 and not ends:
            kinds.append("s")
            code += _code(line, bare)
        else:
            kinds.append("o")
            code += _code(line, bare)
    filled = len(kinds) - kinds.count("")
    if code * 8 > filled or _wrapped(lines, kinds) * 8 > filled:
        gone.clear()
    elif _has_prose(lines, kinds, words, filled):
        _menus(kinds, words, gone)
        _repeats(lines, kinds, words, gone)
    return Program((*_repairs(text), *_removals(gone)))


def _code(line: str, bare: str) -> bool:
    """Whether a line looks like code; the pattern is tried only where one of its characters stands."""
    if _CODE_MARKS.isdisjoint(bare) and not bare[0].islower():
        return False
    return _CODE.search(line) is not None


def _triggered(folded: str) -> set[int]:
    """Numbers of the lines that hold a trigger."""
    places = []
    for trigger in TRIGGERS:
        at = folded.find(trigger)
        while at >= 0:
            places.append(at)
            at = folded.find(trigger, at + 1)
    found: set[int] = set()
    line = before = 0
    for at in sorted(places):
        line += folded.count("\n", before, at)
        before = at
        found.add(line)
    return found


def _furniture(text: str, anywhere: bool) -> str | None:
    """The rule about words that a line falls under, given stripped and in lower case."""
    bullet = _BULLET.match(text) if text[0] in _LIST else None
    found = _FROM_START.match(text, bullet.end() if bullet else 0)
    if found is None and anywhere:
        found = _ANYWHERE.match(text)
    return found.lastgroup if found else None


def _wrapped(lines: Sequence[str], kinds: Sequence[str]) -> int:
    """Lines that go on with the sentence of the line before: many where the text was wrapped at a width."""
    return sum(
        1
        for at in range(1, len(lines))
        if kinds[at] and kinds[at - 1] and lines[at].lstrip()[0].islower() and lines[at - 1].rstrip()[-1] not in _STOPS
    )


def _has_prose(lines: Sequence[str], kinds: Sequence[str], words: Sequence[int], filled: int) -> bool:
    """Whether there is enough prose for short lines to stand out as menus; bulleted lists need less of it."""
    prose = sum(count for count, kind in zip(words, kinds, strict=True) if kind == "p")
    if prose < LEAST_PROSE:
        return False
    return prose * 5 >= sum(words) or sum(line.lstrip()[:1] in _LIST for line in lines if line) * 3 >= filled


def _menus(kinds: Sequence[str], words: Sequence[int], gone: dict[int, str]) -> None:
    """Mark short lines outside the stretch that holds the prose."""
    start, end = stretch(kinds, words)
    for side in (range(start), range(end, len(kinds))):
        some = [at for at in side if kinds[at] in ("s", "f", "o")]
        if len(some) >= LEAST_MENU:
            gone.update((at, "menu") for at in some if at not in gone)
    run: list[int] = []
    for at in range(start, end + 1):
        kind = kinds[at] if at < end else "p"
        if kind in ("s", "f"):
            run.append(at)
        elif kind:
            if len(run) >= 8 and sum(words[i] for i in run) <= 4 * len(run):
                gone.update((i, "menu") for i in run if i not in gone)
            run = []


def stretch(kinds: Sequence[str], words: Sequence[int]) -> tuple[int, int]:
    """[start, end) of the run of lines with the highest score: prose for its words, other lines against."""
    best = total = 0.0
    begin = start = end = 0
    for at, kind in enumerate(kinds):
        if kind == "p":
            total += min(words[at], 60)
        elif kind in ("s", "f"):
            total -= 6.0
        elif kind == "o":
            total -= 1.0
        if total <= 0:
            total, begin = 0.0, at + 1
        elif total > best:
            best, start, end = total, begin, at + 1
    return start, end


def _repeats(lines: Sequence[str], kinds: Sequence[str], words: Sequence[int], gone: dict[int, str]) -> None:
    """Mark all but the first of a short unindented line of four words or more that stands there four times."""
    short = [(at, line) for at, line in enumerate(lines) if kinds[at] == "s" and words[at] >= 4 and line[0].isalnum()]
    often = {line for line, count in Counter(line for _, line in short).items() if count >= 4}
    met: set[str] = set()
    for at, line in short:
        if line in often:
            if line in met:
                gone.setdefault(at, "repeated_line")
            met.add(line)


# UTF-8 that was read as Windows-1252, once: what each pair or triple was
_MOJIBAKE = re.compile("[ÂÃâ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]{1,2}")


def _repairs(text: str) -> list[Normalize]:
    """Replacements of broken characters: double-encoded UTF-8 and what never belongs into text."""
    repairs: dict[str, str] = {}
    for found in _MOJIBAKE.findall(text):
        for length in (3, 2):
            broken = found[:length]
            if len(broken) == length and broken not in repairs:
                try:
                    repairs[broken] = broken.encode("cp1252").decode("utf-8")
                    break
                except UnicodeError:
                    continue
    for broken in ("\ufeff", "\ufffd", "\u00ad", "\u200b"):
        if broken in text:
            repairs[broken] = ""
    ordered = sorted(repairs.items(), key=lambda item: (-len(item[0]), item[0]))
    return [Normalize(source, target, "broken_characters") for source, target in ordered]


def _removals(gone: dict[int, str]) -> list[RemoveLines]:
    """Runs of lines that fall under one rule."""
    runs: list[RemoveLines] = []
    for at, rule in sorted(gone.items()):
        if runs and runs[-1].end == at - 1 and runs[-1].rule == rule:
            runs[-1] = RemoveLines(runs[-1].start, at, rule)
        else:
            runs.append(RemoveLines(at, at, rule))
    return runs
