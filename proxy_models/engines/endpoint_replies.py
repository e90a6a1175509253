"""What a server's answer says: a chat completion as one JSON object or as a stream of events, a refusal, or neither.

A stream (`text/event-stream`) is read whether it was asked for or not: pieces of the first choice are put together,
comments and other fields passed over; one that ends before its finish reason is a reply that stopped in the middle.
Raises `Malformed` for what is no chat completion and was not paid for, so that it may be asked for again; what tokens
were counted for is answered once, with a text or with the reason why it has none.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from ...corpus.readers.http_message import CHARSET
from ...corpus.text.charsets import decode_text, mend
from .cache import Reply
from .endpoint_http import Malformed
from .engine import Request, choice_of
from .thoughts import answered

MOST_TOKENS = 1 << 40  # a larger count is no count
MESSAGE = {"content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning"}
THOUGHTS = re.compile("think|thought|reason|summary", re.IGNORECASE)  # types of parts that are no answer
TEXTS = ("text", "output_text", None)  # types of parts that are
NAMED_STATUS = (  # words in the type or code of an error -> the status that it would have had
    (re.compile("rate.?limit|overloaded|too.?many", re.IGNORECASE), 429),
    (re.compile("authenti|invalid.?api.?key|permission|unauthorized", re.IGNORECASE), 401),
    (re.compile("model.?not.?found", re.IGNORECASE), 404),
    (re.compile("invalid.?request|bad.?request|context.?length|content.?(filter|policy)", re.IGNORECASE), 400),
)
LINE_END = re.compile(r"\r\n|\n|\r")
Told = dict[str, Any]


def told_by(answer: bytes, headers: dict[str, str]) -> Told:
    """The object that a successful answer holds; Malformed where it holds none."""
    try:
        told = json.loads(answer.decode(), strict=False)  # as nearly all answers are
        if isinstance(told, dict):
            return told
    except (ValueError, RecursionError):
        pass  # another encoding, a stream, or nothing that can be read: looked at below
    charset = CHARSET.search(headers.get("content-type", ""))
    text = decode_text(answer, charset[1] if charset else None)
    if text is None:
        raise Malformed(f"not a chat completion: {answer[:100].decode('utf-8', 'replace')!r}")
    text = text.removeprefix("\ufeff").strip()
    if text[:1] != "{" and (
        "event-stream" in headers.get("content-type", "").lower() or re.match(r":|(?:data|event|id|retry):", text)
    ):
        return _streamed(text)
    told = loaded(text)
    if not isinstance(told, dict):
        raise Malformed(f"not a chat completion: {text[:100]!r}")
    return told


def refusal(told: Told) -> tuple[int, str] | None:
    """(HTTP status that it stands for, what it says) of an answer that is an error under a status of success."""
    error = told.get("error")
    if told.get("object") == "error" and not error:
        error = told
    if not error or told.get("choices"):
        return None
    held = error if isinstance(error, dict) else {"message": error}
    said = json.dumps(error, ensure_ascii=False)[:200]
    for one in (held.get("code"), held.get("status"), told.get("code"), told.get("status")):
        if not isinstance(one, bool) and str(one).isdecimal() and 400 <= int(str(one)[:9]) < 600:
            return int(str(one)), said
    names = " ".join(str(held.get(key)) for key in ("type", "code", "status") if held.get(key))
    return next((status for pattern, status in NAMED_STATUS if pattern.search(names)), 502), said


def reply_in(told: Told, request: Request) -> Reply:
    """The reply in an answer; Malformed where it is not what the protocol promises.

    Whatever ended it but `stop` (a limit, a filter, an abort, a call of a tool) leaves it unfinished.
    """
    counted = told.get("usage")
    usage: Told = counted if isinstance(counted, dict) else {}
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    choices = told.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict) or not message.keys() & MESSAGE:
        if completion:  # paid for, so that to ask again would be to pay again
            return Reply("", "error", prompt, completion, "the reply has no message")
        raise Malformed(f"not a chat completion: {json.dumps(told, ensure_ascii=False)[:100]!r}")
    finish = choice.get("finish_reason")
    text = content_of(message.get("content"))
    if text is None or message.get("refusal"):
        why = "was refused" if message.get("refusal") else "has no text"
        return Reply("", "error", prompt, completion, f"the reply {why} (finish reason {finish!r})")
    text, ended = answered(text)
    text = mend(text)
    if request.choices:
        named = _label(text, request.choices)
        if named is None:
            return Reply("", "error", prompt, completion, f"not one of the choices: {text[:80]!r}")
        text = named
    return Reply(text, "stop" if finish == "stop" and ended else "length", prompt, completion)


def loaded(text: str) -> Any:
    """What a JSON text holds; None where it is no JSON."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def count(value: object) -> int:
    """A number of tokens that a server told; 0 where it told none, or one that cannot be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    return int(value) if 0 <= value <= MOST_TOKENS else 0


def content_of(content: object) -> str | None:
    """The text of a message, which is a string or a list of parts; None where a part is neither text nor thought."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else part
        if isinstance(part, dict) and (part.get("thought") is True or THOUGHTS.search(str(kind))):
            continue
        text = part.get("text") if isinstance(part, dict) else None
        if kind not in TEXTS or not isinstance(text, str):
            return None  # of an answer that is more than text, the text alone would be half
        texts.append(text)
    return "".join(texts) if texts else None


def _streamed(text: str) -> Told:
    """The chat completion that a stream of events adds up to."""
    parts: list[str] = []
    message: Told = {}
    finish = usage = first = None
    ended = False
    for event in _events(text):
        if event is None:
            ended = True
            continue
        if event.get("error") or event.get("object") == "error":
            return {**event, "choices": None}
        usage = event["usage"] if isinstance(event.get("usage"), dict) else usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            first = choice.get("index", 0) if first is None else first
            if choice.get("index", 0) != first:
                continue
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                message |= {key: value for key, value in delta.items() if key != "content" and value}
                piece = content_of(delta["content"]) if delta.get("content") else None
                parts += [piece] if piece is not None else []
            finish = choice.get("finish_reason") or finish
    if first is None or not (ended or finish):
        raise Malformed("the reply stopped within its stream of events")
    message["content"] = "".join(parts) if parts else None
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _events(text: str) -> list[Told | None]:
    """The objects of a stream's events, None for its `[DONE]`."""
    found: list[Told | None] = []
    held: list[str] = []
    for line in [*LINE_END.split(text), ""]:
        field, _, value = line.partition(":")
        if field == "data":
            held.append(value.removeprefix(" "))
        elif line:
            continue  # a comment that keeps the connection alive, or another field
        said = "\n".join(held).strip()
        told = None if said in ("", "[DONE]") else loaded(said)
        if isinstance(told, dict) or said == "[DONE]":  # also where no empty line ends the event
            found.append(told)
            held = []
        elif not line and said:
            raise Malformed(f"not an event of a chat completion: {said[:100]!r}")
    return found


def _label(text: str, choices: Sequence[str]) -> str | None:
    named = choice_of(text, choices)
    if named is None:
        told = loaded(text)
        if isinstance(told, dict) and isinstance(told.get("label"), str):
            named = choice_of(told["label"], choices)
    return named
