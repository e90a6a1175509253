"""What a model thought before it answered, told apart from its answer where the server leaves both in one text.

Thoughts stand between two marks (`<think>` and `</think>`, with attributes, in any case, one within another; those of
Magistral, Kimi, Seed-OSS, Gemma, gpt-oss, Sky-T1 and of Open WebUI), before an end mark alone, or in a fenced block.
They are cut in front of the answer and where they begin a line in it. Marks within a line are left, because a text may
speak of them; whether it does, `thinks_aloud` tells by the request. Refuses nothing: what never ends leaves no text.
"""

import re

_WORDS = (
    "think|thinking|thoughts?|thought_process|reason|reasoning|reflection|analysis|scratchpad|antthinking|"
    "(?:inner_|internal_)?monologue|\u601d\u8003"
)
_OPEN, _CLOSE = r"(?:[<\uff1c]|&lt;)[ \t]{0,3}", r"(?:[>\uff1e]|&gt;)"
# how models set their thoughts apart: (begin, end), read without regard to case
_MARKS = (
    (
        rf"{_OPEN}(?:seed:)?(?:{_WORDS})(?:\s[^<>&\n]{{0,300}})?{_CLOSE}",
        rf"{_OPEN}/[ \t]{{0,3}}(?:seed:)?(?:{_WORDS})[ \t]{{0,3}}{_CLOSE}",
    ),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    (
        r"<\|(?:begin_of_|begin_|start_)?(?:think|thinking|thought)\|>",
        r"<\|(?:/|end_of_|end_)(?:think|thinking|thought)\|>",
    ),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (r"<unused94>thought", r"<unused95>"),
    (r"<\|channel>thought\b", r"<channel\|>"),
    (r"<details\b[^<>\n]{0,300}\btype\s{0,3}=\s{0,3}[\"']?reasoning\b[^<>\n]{0,300}>", r"</details\s{0,3}>"),
)
_PAIRS = [(re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE)) for begin, end in _MARKS]
_HTML_ELEMENT = r"</details\s{0,3}>"  # an end that is no mark of its own
_ANY = re.compile(
    "|".join([one for pair in _MARKS for one in pair if one != _HTML_ELEMENT] + [r"<\|channel\|>"]), re.IGNORECASE
)
_FIRST = re.compile("[<\\[&\uff1c\u25c1]")  # what marks begin with
_CLOSED = re.compile(
    rf"{_OPEN}(?:{_WORDS})(?:\s[^<>&\n/]{{0,300}})?/[ \t]{{0,3}}{_CLOSE}\s*", re.IGNORECASE
)  # <think/>
_FENCE = re.compile(rf"(`{{3,9}}|~{{3,9}})[ \t]*(?:{_WORDS})[ \t]*\n.*?(?:\n[ \t]*\1[ \t]*(?:\n|$)|\Z)", re.I | re.S)
_CHANNELS = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>", re.IGNORECASE)  # of gpt-oss (harmony)
_STRIPPED = re.compile(r"analysis(?=\S).*?assistantfinal\s*", re.DOTALL)  # the same without its special tokens
_LAST = re.compile(r"<\|(?:end|return|eot_id|im_end)\|>\s*$")
_WRAPPED = re.compile(
    r"<(answer|response|output|solution)>\s*(.*?)\s*(?:</\1>\s*)?$|"
    r"<\|(?:begin_of_solution|start_response)\|>\s*(.*?)\s*(?:<\|(?:end_of_solution|end_response)\|>\s*)?$",
    re.DOTALL | re.IGNORECASE,
)


def answered(text: str) -> tuple[str, bool]:
    """The text without thoughts, and whether they ended.

    Thoughts are what stands before an end mark, with or without its begin mark, and what stands from a begin mark at
    the start of a line to its end mark; a begin mark there that no end follows leaves nothing behind it.
    """
    if not (_may_hold(text) or text.lstrip()[:8].startswith(("analysis", "```", "~~~"))):
        return text, True
    start = text.lstrip()
    if not (_mark(text) or _FENCE.match(start) or _STRIPPED.match(start) or _CLOSED.match(start)):
        return text, True
    final, ended = _final(text)
    front = _cut_front(final) if ended else None
    if front is None:
        return "", False
    left, whole = _cut_lines(front)
    if left != text and (wrapped := _WRAPPED.match(left.strip())):
        left = wrapped[2] if wrapped[1] else wrapped[3]
    return left, whole


def thinks_aloud(text: str, asked: str) -> bool:
    """Whether a text holds a mark of thoughts, and what was asked holds none that could have been taken over."""
    return _may_hold(text) and _mark(text) is not None and _mark(asked) is None


def _mark(text: str, at: int = 0) -> re.Match[str] | None:
    """The first mark of thoughts from `at`."""
    places = (_ANY.match(text, found.start()) for found in _FIRST.finditer(text, at))
    return next(filter(None, places), None)


def _may_hold(text: str) -> bool:
    """Whether a text has a character that marks of thoughts begin with: most have none, and are not searched."""
    return any(mark in text for mark in ("<", "[", "&lt;", "\uff1c", "\u25c1"))


def _final(text: str) -> tuple[str, bool]:
    """What stands in the last channel, where a text has channels; whether that is the final one."""
    channels = list(_CHANNELS.finditer(text))
    if channels:
        last = channels[-1]
        return _LAST.sub("", text[last.end() :]).strip(), last[1].lower() == "final"
    if found := _STRIPPED.match(text.lstrip()):
        return text.lstrip()[found.end() :], True
    return text, True


def _cut_front(text: str) -> str | None:
    """The text behind the thoughts that it begins with, None where they do not end."""
    while True:
        start = text.lstrip()
        if found := _CLOSED.match(start) or _FENCE.match(start):
            text = start[found.end() :].lstrip()
            continue
        for begin, end in _PAIRS:
            opened = begin.match(start)
            closed = (
                end.search(start, opened.end() if opened else 0) if opened or end.pattern != _HTML_ELEMENT else None
            )
            if closed and (opened or begin.search(start, 0, closed.start()) is None):
                text = start[closed.end() :].lstrip()
                break
            if opened:
                return None
        else:
            return text


def _cut_lines(text: str) -> tuple[str, bool]:
    """The text without the thoughts that begin a line in it; all before those that do not end, and False."""
    at = 0
    while found := _mark(text, at):
        before = text[: found.start()].rstrip(" \t")
        pair = next(((begin, end) for begin, end in _PAIRS if begin.match(text, found.start())), None)
        if before[-1:] not in ("", "\n") or pair is None:
            at = found.end()
            continue
        closed = pair[1].search(text, found.end())
        before = before.rstrip()
        if closed is None:
            return before, False
        text, at = f"{before}\n\n{text[closed.end() :].lstrip()}".strip(), len(before)
    return text, True
