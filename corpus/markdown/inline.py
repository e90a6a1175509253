"""The inside of one block as Markdown: emphasis, code, links and struck text, everything else escaped where it must be.

Marks are set only where CommonMark reads them as such (its rules of flanking, section 6.2); where it would not, as in
the middle of a word beside punctuation, the text stays without them. Characters are escaped where they would be read as
markup, and left alone elsewhere. `<br>` begins a line.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ..text.blocks import BREAK, CLOSE, MARKED, OPEN, TEXT
from ..text.formulas import OPEN as FORMULA
from ..text.inline import SIGNS, address, unescaped

_ALWAYS = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|\s*\Z)|`|\*(?!\s)|(?<!\s)\*|(?<![^\W_])_+(?=\S)|(?<=[^\s_])_+(?![^\W_])|~(?=~)|(?<=~)~|[\[\]]|"
    r"<(?=[a-zA-Z/!?])|&(?=#?\w+;)|!(?=\[)"
)
_AT_START = re.compile(
    r"^(#{1,6})(?=\s|$)|^([-+*])(?=\s|$)|^(>)|^(\d{1,9})([.)])(?=\s|$)|^(=+|-{2,}|_{3,}|(?:[-_*]\s*){3,})\s*$|^(\|)"
)
_RULE = re.compile(r"^:?-+:?(?:\s*\|\s*:?-+:?)*\s*\|?\s*$")  # the second row of a table


def inline(data: bytes, segments: Sequence[Sequence[int]], without: Iterable[str] = ()) -> str:
    """A block's text as Markdown in lines; signs in `without` (`**`) are left out."""
    whole: list[str] = []
    stack: list[tuple[str, str, list[str]]] = []  # element, its sign or address, what it holds
    without = tuple(without)
    for start, end, _, kind in segments:
        parts = stack[-1][2] if stack else whole
        if kind == TEXT:
            text = unescaped(data[start:end]).replace("\n", " ").replace("\u00ad", "")
            parts.append(text if _in_code(stack) else escaped(text))
        elif kind == BREAK:
            parts.append(" " if _in_code(stack) or _in_link(stack) else "\n")
        elif kind < CLOSE:
            name = MARKED[kind - OPEN]
            sign = address(data[start:end]) if name == "a" else SIGNS[name]
            around = {held for _, held, _ in stack}
            if (name == "a" and _in_link(stack)) or sign in around or sign in without or _in_code(stack):
                sign = ""
            stack.append((name, sign, []))
        elif any(name == MARKED[kind - CLOSE] for name, _, _ in stack):
            closed = False
            while not closed:
                closed = stack[-1][0] == MARKED[kind - CLOSE]
                _close(stack, whole)
    while stack:
        _close(stack, whole)
    return settled("".join(whole))


def _in_code(stack: list[tuple[str, str, list[str]]]) -> bool:
    return any(sign == "`" for _, sign, _ in stack)


def _in_link(stack: list[tuple[str, str, list[str]]]) -> bool:
    return any(name == "a" and sign for name, sign, _ in stack)


def settled(text: str) -> str:
    """Marks set or left out by what stands beside them, white space settled, starts of lines escaped."""
    lines = []
    for line in _marks(text).split("\n"):
        line = " ".join(line.split())
        if line:
            lines.append(line_start(line))
    return "\n".join(lines)


def line_start(line: str) -> str:
    """The line with a backslash where its beginning would be read as a heading, a list, a quotation or a rule."""
    if line.startswith(("```", "~~~")) and not line.startswith(("```` ", "~~~~ ")) and "`" not in line.lstrip("`"):
        return "\\" + line
    if _RULE.match(line) and ("-" in line):
        return "\\" + line
    found = _AT_START.match(line)
    if not found:
        return line
    if found[4]:
        return f"{found[4]}\\{line[len(found[4]) :]}"
    return "\\" + line


def escaped(text: str) -> str:
    """The text with a backslash before each character that would be read as a mark within a line."""
    return _ALWAYS.sub(lambda found: "".join("\\" + c for c in found[0]), text)


_PRIVATE = ("\ue010", "\ue011", "\ue012")  # an opening and a closing mark, and what stands between sign and text


def _close(stack: list[tuple[str, str, list[str]]], whole: list[str]) -> None:
    """Write the innermost element into the one around it, its white space outside of its signs."""
    name, sign, parts = stack.pop()
    inner = "".join(parts)
    core = inner.strip()
    if sign and core:
        before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        if sign == "`":
            core = code_span(" ".join(core.split())) if FORMULA not in core else core
        elif name == "a":
            core = f"[{' '.join(core.split())}]({sign})"
        elif "\n\n" not in core:
            core = f"{_PRIVATE[0]}{sign}{_PRIVATE[2]}{core}{_PRIVATE[1]}{sign}{_PRIVATE[2]}"
        inner = before + core + after
    (stack[-1][2] if stack else whole).append(inner)


def code_span(text: str) -> str:
    """Code between as many backticks as it needs."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1 if longest else 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


_MARK = re.compile(f"({_PRIVATE[0]}|{_PRIVATE[1]})([*~]+){_PRIVATE[2]}")


def _marks(text: str) -> str:
    """The text with its marks of emphasis written where they will be read as such, and left out elsewhere."""
    if _PRIVATE[0] not in text:
        return text
    pieces: list[str] = []  # text and marks by turns: marks as (opening or closing, sign)
    at, open_marks, marks = 0, [], []
    for found in _MARK.finditer(text):
        pieces.append(text[at : found.start()])
        at = found.end()
        opening = found[1] == _PRIVATE[0]
        marks.append([opening, found[2], -1])
        if opening:
            open_marks.append(len(marks) - 1)
        else:
            partner = open_marks.pop()
            marks[-1][2], marks[partner][2] = partner, len(marks) - 1
    pieces.append(text[at:])
    written = [True] * len(marks)
    for n, (opening, _, partner) in enumerate(marks):
        before, after = _beside(pieces, n, -1), _beside(pieces, n + 1, 1)
        adjoining = (pieces[n] == "" and n > 0) or (pieces[n + 1] == "" and n + 1 < len(marks))
        if not (_flanks(before, after) if opening else _flanks(after, before)):
            written[n] = written[partner] = False
        elif adjoining:  # of two marks in a row the inner one goes
            inner = n if (opening and pieces[n] == "" and n > 0) or (not opening and pieces[n + 1] == "") else -1
            if inner >= 0:
                written[n] = written[partner] = False
    out = [pieces[0]]
    for n, (_, sign, _) in enumerate(marks):
        out += [sign if written[n] else "", pieces[n + 1]]
    return "".join(out)


def _beside(pieces: list[str], n: int, step: int) -> str:
    """The character that stands before (-1) or after (1) a mark; a space at the ends."""
    while 0 <= n < len(pieces):
        if pieces[n]:
            return pieces[n][-1] if step < 0 else pieces[n][0]
        n += step
    return " "


def _flanks(outside: str, inside: str) -> bool:
    """Whether a mark between these two characters can open (or, mirrored, close) emphasis."""
    if inside.isspace():
        return False
    return not _punctuation(inside) or outside.isspace() or _punctuation(outside)


def _punctuation(c: str) -> bool:
    return unicodedata.category(c)[0] in "PS" or c == FORMULA
