"""Refining programs (ProX): parse what a model wrote, run it on a document, hold it to the safety rules.

A program is a list of calls: `drop_doc()`, `keep_doc()`, `keep_chunk()`, `remove_lines(line_start=a, line_end=b)`
(both inclusive, counted from 0), `remove_lines(all=True)` and `normalize(source_str="…", target_str="…")`. Unknown
calls do nothing; what cannot be read or applied is an error, and two errors put the whole program aside.

Departures from the published executor (GAIR-NLP/ProX): a real parser, so that strings may hold commas, brackets and
escapes; a normalisation stays within a line, so that line numbers mean the lines that the model saw; a range that
begins after the last line is an error. Refuses to invent text: nothing is ever written but `normalize` targets.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MOST_ERRORS = 1  # with more, the original stands
LEAST_KEPT = 0.05  # of the words; a program that keeps this or less has dropped the document
LEAST_WORDS = 10  # a document with this many words left, or fewer, is dropped


@dataclass(frozen=True)
class RemoveLines:
    """Remove the lines from `start` to `end`, both inclusive; `end` None: to the last."""

    start: int
    end: int | None
    rule: str = "remove_lines"

    def __str__(self) -> str:
        return f"remove_lines(line_start={self.start}, line_end={self.end})" if self.end is not None else REMOVE_ALL


@dataclass(frozen=True)
class Normalize:
    """Replace `source` by `target` wherever it stands within a line."""

    source: str
    target: str
    rule: str = "normalize"

    def __str__(self) -> str:
        return f"normalize(source_str={_quoted(self.source)}, target_str={_quoted(self.target)})"


@dataclass(frozen=True)
class DropDoc:
    """Drop the document."""

    rule: str = "drop_doc"

    def __str__(self) -> str:
        return "drop_doc()"


REMOVE_ALL = "remove_lines(all=True)"
Operation = RemoveLines | Normalize | DropDoc


@dataclass(frozen=True)
class Program:
    """What was read: the operations in order, and one sentence for each error."""

    operations: tuple[Operation, ...] = ()
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.operations)) or "keep_chunk()"


def join(programs: Iterable[Program]) -> Program:
    """One program for a document, from those of its chunks."""
    operations: list[Operation] = []
    errors: list[str] = []
    for program in programs:
        operations += program.operations
        errors += program.errors
    return Program(tuple(operations), tuple(errors))


@dataclass(frozen=True)
class ProgramOutcome:
    """What a program made of a document.

    rule, value, threshold  why it was dropped, or None
    removed                 [start, end) in characters of the text before, and the rule that cut or replaced it
    """

    kept: bool
    text: str
    removed: tuple[tuple[int, int, str], ...] = ()
    rule: str | None = None
    value: float | None = None
    threshold: float | None = None
    errors: tuple[str, ...] = ()


# ---- reading -------------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"(?:\s|;|#[^\n]*|```\w*)*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_VALUE = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|\[?(?P<number>\d{1,9})\]?(?![\w.])|(?P<name>[A-Za-z]\w*)"""
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}


class _Unreadable(Exception):
    """A call that cannot be read; says why."""


def parse(text: str) -> Program:
    """Read a program. Never raises: what cannot be read becomes an error, and reading goes on at the next line."""
    operations: list[Operation] = []
    errors: list[str] = []
    at = _skip(text, 0)
    while at < len(text):
        try:
            name, arguments, end = _call(text, at)
            operation = _operation(name, arguments)
            if operation is not None:
                operations.append(operation)
        except _Unreadable as error:
            line = text.find("\n", at)
            end = len(text) if line < 0 else line
            errors.append(f"{error}: {text[at : min(end, at + 60)]!r}")
        at = _skip(text, max(end, at + 1))
    return Program(tuple(operations), tuple(errors))


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


Argument = tuple[str | None, str | int | bool | None]


def _call(text: str, at: int) -> tuple[str, list[Argument], int]:
    """`name(arguments)` at a place: the name, the arguments, the place after it."""
    name = _NAME.match(text, at)
    if not name:
        raise _Unreadable("not a call")
    at = _skip(text, name.end())
    if text[at : at + 1] != "(":
        raise _Unreadable(f"no bracket after {name[0][:40]}")
    arguments: list[Argument] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != ")":
        argument, at = _argument(text, at)
        arguments.append(argument)
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != ")":
            raise _Unreadable("no comma or closing bracket after an argument")
    return name[0], arguments, at + 1


def _argument(text: str, at: int) -> tuple[Argument, int]:
    label = None
    name = _NAME.match(text, at)
    if name:
        after = _skip(text, name.end())
        if text[after : after + 1] == "=":
            label, at = name[0], _skip(text, after + 1)
    value = _VALUE.match(text, at)
    if not value:
        raise _Unreadable("not a value")
    if value["string"] is not None:
        return (label, _unescaped(value["string"][1:-1])), value.end()
    if value["number"] is not None:
        return (label, int(value["number"])), value.end()
    named = {"true": True, "false": False, "none": None}
    if value["name"].lower() not in named:
        raise _Unreadable(f"{value['name'][:40]} is not a value")
    return (label, named[value["name"].lower()]), value.end()


def _unescaped(quoted: str) -> str:
    def plain(found: re.Match[str]) -> str:
        digits = found[1] or found[2] or found[3]
        if digits is None:
            return _PLAIN.get(found[4], found[0])
        code = int(digits, 16)
        if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise _Unreadable(f"{found[0]} is no character")
        return chr(code)

    return _ESCAPE.sub(plain, quoted) if "\\" in quoted else quoted


def _quoted(text: str) -> str:
    """A string as `parse` reads it back."""
    escaped = "".join(
        "\\" + character if character in '\\"' else character if character.isprintable() else f"\\U{ord(character):08x}"
        for character in text
    )
    return f'"{escaped}"'


def _operation(name: str, arguments: list[Argument]) -> Operation | None:
    named = {label: value for label, value in arguments if label is not None}
    plain = [value for label, value in arguments if label is None]
    if name in ("drop_doc", "keep_doc", "keep_chunk"):
        return DropDoc() if name == "drop_doc" else None
    if name == "remove_lines":
        if named.get("all") is True:
            return RemoveLines(0, None)
        start = named.get("line_start", plain[0] if plain else None)
        end = named.get("line_end", plain[1] if len(plain) > 1 else start)
        start, end = _line(start), _line(end)
        if start > end:
            raise _Unreadable(f"lines {start} to {end} are no range")
        return RemoveLines(start, end)
    if name == "normalize":
        source = named.get("source_str", plain[0] if plain else None)
        target = named.get("target_str", plain[1] if len(plain) > 1 else "")
        if not isinstance(source, str) or not isinstance(target, str):
            raise _Unreadable("normalize takes strings")
        if "\n" in source or "\n" in target:
            raise _Unreadable("normalize stays within a line")
        return Normalize(source, target) if source.strip(" ") else None
    return None


def _line(value: str | int | bool | None) -> int:
    """A line number; models also write it as a string or as it stood in the prompt, [007]."""
    if isinstance(value, str) and value.strip("[] ").isascii() and value.strip("[] ").isdigit():
        value = int(value.strip("[] "))
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Unreadable("remove_lines takes line numbers")
    return value


# ---- running -------------------------------------------------------------------------------------------------------


def execute(text: str, program: Program) -> ProgramOutcome:
    """Run a program on a document and apply the safety rules, in their published order.

    Words are what white space separates. Dropped: by `drop_doc`; where at most 5 % of the words are left and there
    are fewer than two errors; where at most ten words are left. Two errors: the original stands.
    """
    if any(isinstance(operation, DropDoc) for operation in program.operations):
        return ProgramOutcome(False, "", ((0, len(text), "drop_doc"),), "drop_doc", errors=program.errors)
    lines = text.split("\n")
    errors = list(program.errors)
    changed = _normalized(lines, [op for op in program.operations if isinstance(op, Normalize)])
    gone: dict[int, str] = {}
    for operation in program.operations:
        if isinstance(operation, RemoveLines):
            if operation.start >= len(lines):
                errors.append(f"line {operation.start} is beyond the last, {len(lines) - 1}")
                continue
            last = len(lines) - 1 if operation.end is None else min(operation.end, len(lines) - 1)
            for at in range(operation.start, last + 1):
                gone.setdefault(at, operation.rule)
    if not gone and not changed:
        return ProgramOutcome(True, text, errors=tuple(errors))
    edited = "\n".join(changed.get(at, (line,))[0] for at, line in enumerate(lines) if at not in gone)
    removed = tuple(_spans(lines, changed, gone))
    before, after = len(text.split()), len(edited.split())
    share = after / before if before else 1.0
    if share <= LEAST_KEPT and len(errors) <= MOST_ERRORS:
        return ProgramOutcome(False, "", removed, "least_kept", share, LEAST_KEPT, tuple(errors))
    if after <= LEAST_WORDS:
        return ProgramOutcome(False, "", removed, "least_words", float(after), float(LEAST_WORDS), tuple(errors))
    if len(errors) > MOST_ERRORS:
        return ProgramOutcome(True, text, errors=tuple(errors))
    return ProgramOutcome(True, edited, removed, errors=tuple(errors))


def _normalized(lines: list[str], operations: Sequence[Normalize]) -> dict[int, tuple[str, str]]:
    """Line number -> (its text after all replacements, the rule of the first that changed it)."""
    changed: dict[int, tuple[str, str]] = {}
    for operation in operations:
        for at, line in enumerate(lines):
            now, rule = changed.get(at, (line, operation.rule))
            if operation.source in now:
                changed[at] = (now.replace(operation.source, operation.target), rule)
    return {at: (now, rule) for at, (now, rule) in changed.items() if now != lines[at]}


def _spans(
    lines: list[str], changed: dict[int, tuple[str, str]], gone: dict[int, str]
) -> Iterator[tuple[int, int, str]]:
    """What was cut. A removed line goes with the line feed after it, in a removed tail with the one before it."""
    tail = len(lines)
    while tail - 1 in gone:
        tail -= 1
    run: tuple[int, int, str] | None = None  # pieces that touch and share a rule are one
    start = 0
    for at, line in enumerate(lines):
        end = start + len(line)
        piece = None
        if at in gone:
            piece = (max(start - 1, 0), end, gone[at]) if at >= tail else (start, end + 1, gone[at])
        elif at in changed:
            now, rule = changed[at]
            head = _shared(line, now)
            piece = start + head, end - _shared(line[head:][::-1], now[head:][::-1]), rule
        start = end + 1
        if piece is None:
            continue
        if run is not None and (run[1], run[2]) == (piece[0], piece[2]):
            run = run[0], piece[1], piece[2]
            continue
        if run is not None:
            yield run
        run = piece
    if run is not None:
        yield run


def _shared(a: str, b: str) -> int:
    """Length of the common prefix."""
    for at, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return at
    return min(len(a), len(b))


def difference(text: str, outcome: ProgramOutcome) -> str:
    """What a program changes, line by line, for a human: the unified form without unchanged lines far away."""
    import difflib

    after = outcome.text.split("\n") if outcome.kept else []
    rows = difflib.unified_diff(text.split("\n"), after, "before", "after", lineterm="", n=1)
    return "\n".join(rows)
