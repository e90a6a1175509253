"""Refining by a language model (ProX): what it is asked, and how its replies become one program.

Twice for a document: whether to keep it, and for windows of numbered lines what to remove or normalise. Line numbers
run through the document, so the programs of its windows join into one. Two dialects: `instruct` explains the calls to
any instruction-tuned model; `prox` sends bare text, as the released ProX models were trained to take it.

Refuses to guess: where a request failed, the document is left as it is and the program says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..engines.cache import Reply
from ..engines.engine import Request
from .programs import DropDoc, Program, join, parse
from .rephrase_chunks import Count

Dialect = Literal["instruct", "prox"]

DOCUMENT_TOKENS = 2000  # of a document, for the decision to keep it
WINDOW_TOKENS = 1500  # of numbered lines, for one window
REPLY_TOKENS = 256

PROX_SYSTEM = "You are a helpful, respectful and honest assistant."
SYSTEM = "You prepare web text for the training of a language model. You answer with function calls only."
DOCUMENT_TASK = (
    "Decide whether the document below is worth learning from. Answer keep_doc() for coherent text that tells, "
    "explains or discusses something. Answer drop_doc() for listings, advertisements, error pages, spam, broken text."
)
WINDOW_TASK = (
    "Below is part of a document, each line behind its number in square brackets. Clean it without rewriting it. "
    "Answer with calls, one on each line, and nothing else:\n"
    "remove_lines(line_start=12, line_end=15) removes lines that are no content: menus, links, notices, "
    "advertisements, repeated headers. Both ends are included.\n"
    'normalize(source_str="broken", target_str="repaired") replaces a broken or noisy string.\n'
    "keep_chunk() says that nothing is to be done."
)


@dataclass(frozen=True)
class Window:
    """Consecutive lines of a document, numbered as they are there."""

    first: int
    text: str


def windows(text: str, count: Count, limit: int = WINDOW_TOKENS) -> list[Window]:
    """Numbered lines, packed until the next one would pass the limit; a longer line stands alone."""
    made: list[Window] = []
    held: list[str] = []
    first = tokens = 0
    for at, line in enumerate(text.split("\n")):
        numbered = f"[{at:03d}] {line}"
        size = count(numbered) + 1
        if held and tokens + size > limit:
            made.append(Window(first, "\n".join(held)))
            held, first, tokens = [], at, 0
        held.append(numbered)
        tokens += size
    return [*made, Window(first, "\n".join(held))]


def head(text: str, count: Count, limit: int = DOCUMENT_TOKENS) -> str:
    """The beginning of a text, at most `limit` tokens of it, cut between lines where it can be."""
    if count(text) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest prefix that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= limit else (low, middle - 1)
    feed = text.rfind("\n", low // 2, low)
    return text[: feed if feed > 0 else low]


def refine_requests(
    text: str, count: Count, dialect: Dialect = "instruct", window: int = WINDOW_TOKENS
) -> list[Request]:
    """What to ask about a document: first whether to keep it, then each window."""
    if dialect == "prox":
        whole = Request(head(text, count), system=PROX_SYSTEM, max_tokens=REPLY_TOKENS)
        parts = [f"[doc]\n{part.text}\n[/doc]" for part in windows(text, count, window)]
        return [whole, *(Request(part, system=PROX_SYSTEM, max_tokens=REPLY_TOKENS) for part in parts)]
    whole = Request(head(text, count), DOCUMENT_TASK, SYSTEM, REPLY_TOKENS)
    return [
        whole,
        *(Request(part.text, WINDOW_TASK, SYSTEM, REPLY_TOKENS) for part in windows(text, count, window)),
    ]


def program_of(replies: Sequence[Reply]) -> Program:
    """One program from the replies to `refine_requests`, in their order.

    The published executor's reading of the first one: the document is dropped where the reply says "drop". A request
    that failed leaves the document as it is: half a program is nobody's judgement.
    """
    failed = tuple(f"no program: {reply.error}" for reply in replies if reply.error is not None)
    if failed:
        return Program(errors=failed)
    first, *rest = replies
    if "drop" in first.text:
        return Program((DropDoc(),))
    return join(_read(reply.text) for reply in rest)


def _read(text: str) -> Program:
    program = parse(text)
    kept = tuple(operation for operation in program.operations if not isinstance(operation, DropDoc))
    if len(kept) < len(program.operations):  # a window cannot speak for the document
        program = replace(program, operations=kept, errors=(*program.errors, "drop_doc() from a window"))
    return program
