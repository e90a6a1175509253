"""Any server that speaks the OpenAI chat protocol: vLLM, SGLang, llama.cpp's server, hosted models.

A fixed number of coroutines, each with a connection of its own, take requests from one list: concurrency is bounded
by construction. A refused, late, broken or overloaded reply is tried again after a pause that doubles; the pause a
server asks for (Retry-After) holds back all of them. What the server calls a bad request becomes a failed reply.

Refuses to go on (raises) where every request would end alike: a rejected key, an unknown model or path, and a server
that has failed `give_up_after` requests in a row with all their retries. What was answered until then is cached.
"""

import asyncio
import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import fingerprint
from ...corpus.text.charsets import mend
from .cache import Reply
from .endpoint_http import Address, Connection, Malformed
from .engine import Done, Request, answered, choice_of
from .settings import EndpointSettings as EndpointSettings

HOPELESS = (401, 403, 404)  # no request of this run can succeed
PASSING = (408, 409, 425, 429)  # and every 5xx: try again
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class EndpointEngine:
    """See the module."""

    whole = False

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        self.model = fingerprint(settings.recorded())
        self.address = Address.parse(settings.url)
        self._headers = {"Accept": "application/json", "User-Agent": "gristmill"}
        if settings.api_key_env:
            key = os.environ.get(settings.api_key_env)
            if not key:
                raise RequestError(f"the environment variable {settings.api_key_env}, which holds the key, is not set")
            self._headers["Authorization"] = f"Bearer {key}"
        self._failed_in_a_row = 0

    def generate(self, requests: Sequence[Request], wanted: frozenset[int], done: Done) -> None:
        try:
            asyncio.run(self._run(requests, sorted(wanted), done))
        except BaseExceptionGroup as group:  # the first reason is the one that stopped the others
            raise group.exceptions[0] from None

    async def _run(self, requests: Sequence[Request], places: Sequence[int], done: Done) -> None:
        pace = Pace(self.settings.requests_per_minute, self.settings.tokens_per_minute)
        remaining = iter(places)  # shared: each coroutine takes the next one

        async def worker() -> None:
            connection = Connection(self.address, self._headers)
            try:
                for place in remaining:
                    done([(place, await self._ask(connection, pace, requests[place]))])
            finally:
                connection.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.settings.concurrency, len(places))):
                group.create_task(worker())

    async def _ask(self, connection: Connection, pace: "Pace", request: Request) -> Reply:
        body = mend(_ENCODER.encode(self._body(request))).encode()
        weight = len(body) / 4 + request.max_tokens
        reason = ""
        for attempt in range(self.settings.retries + 1):
            await pace.wait(weight)
            try:
                async with asyncio.timeout(self.settings.timeout):
                    status, headers, answer = await connection.post("/chat/completions", body)
                if status == 200:
                    reply = self._reply(answer, request)
                    self._failed_in_a_row = 0
                    return reply
            except TimeoutError:
                connection.close()
                status, headers, reason = 0, {}, f"no reply within {self.settings.timeout:g} s"
            except (OSError, Malformed) as error:
                connection.close()
                status, headers, reason = 0, {}, f"{type(error).__name__}: {error}"
            else:
                reason = f"HTTP {status}: {answer[:200].decode('utf-8', 'replace')}"
                if status in HOPELESS:
                    raise RequestError(f"{self.settings.url} refuses model {self.settings.model!r}: {reason}")
                if status < 500 and status not in PASSING:
                    return Reply("", "error", error=reason)  # the fault of this request: no retry would help
            if attempt < self.settings.retries:
                pause = self._pause(request, attempt)
                asked = retry_after(headers, self.settings.longest_backoff)
                if status in (429, 503) or asked:
                    pause = max(pause, asked)
                    pace.hold(pause)
                await asyncio.sleep(pause)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self.settings.give_up_after:
            raise WorkspaceError(
                f"{self.settings.url} failed {self._failed_in_a_row} requests in a row, the last with: {reason}; "
                f"what was answered is cached: run again once the server is well"
            )
        return Reply("", "error", error=f"{reason} ({self.settings.retries + 1} attempts)")

    def _pause(self, request: Request, attempt: int) -> float:
        """Doubling, spread over its upper half so that those that failed together do not return together."""
        spread = int(fingerprint(request.document, attempt)[:8], 16) / 0xFFFFFFFF
        return min(self.settings.longest_backoff, self.settings.backoff * 2**attempt) * (0.5 + spread / 2)

    def _body(self, request: Request) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages.append({"role": "user", "content": request.user})
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": messages,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            **self.settings.extra_body,
        }
        if request.choices and self.settings.choices_by == "guided_choice":
            body["guided_choice"] = list(request.choices)
        elif request.choices and self.settings.choices_by == "json_schema":
            label = {"type": "string", "enum": list(request.choices)}
            schema = {"type": "object", "properties": {"label": label}, "required": ["label"]}
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "label", "strict": True, "schema": {**schema, "additionalProperties": False}},
            }
        return body

    def _reply(self, answer: bytes, request: Request) -> Reply:
        """The reply in a 200 answer; Malformed where it is not what the protocol promises.

        Whatever ended it but `stop` (a limit, a filter, an abort, a call of a tool) leaves it unfinished.
        """
        try:
            told = json.loads(answer)
            choice = told["choices"][0]
            message = choice["message"]
            finish = choice.get("finish_reason")
            content = message.get("content")
            if not message.keys() & {"content", "refusal", "tool_calls", "reasoning_content", "reasoning"}:
                raise KeyError("content")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Malformed(f"not a chat completion: {answer[:100].decode('utf-8', 'replace')!r}") from error
        counted = told.get("usage")
        usage: dict[str, Any] = counted if isinstance(counted, dict) else {}
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        whole = finish == "stop"
        text = _content(content)
        if text is None:  # paid for, so that to ask again would be to pay again
            return Reply("", "error", prompt, completion, f"the reply has no text (finish reason {finish!r})")
        text, thought = answered(text)
        whole = whole and thought
        text = mend(text)
        if request.choices:
            named = _label(text, request.choices)
            if named is None:
                return Reply("", "error", prompt, completion, f"not one of the choices: {text[:80]!r}")
            text = named
        return Reply(text, "stop" if whole else "length", prompt, completion)


class Pace:
    """Rate limits as points in time: each request reserves the next moment at which it may start."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0
        self._held_until = 0.0

    async def wait(self, tokens: float) -> None:
        """Return when a request of about `tokens` tokens may start."""
        clock = asyncio.get_running_loop().time
        if self._per_request or self._per_token:
            start = max(self._next, clock())
            self._next = start + max(self._per_request, self._per_token * tokens)
            await asyncio.sleep(start - clock())
        while (left := self._held_until - clock()) > 0:
            await asyncio.sleep(left)

    def hold(self, seconds: float) -> None:
        """Let nothing start for a while: the server asked for it."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)


def retry_after(headers: dict[str, str], longest: float) -> float:
    """The pause a server asks for, in seconds, cut at `longest`; 0 where it asks for none that can be read.

    It is a number of seconds or a date (RFC 9110, 10.2.3), which counts from the server's own clock where it tells it.
    """
    asked = headers.get("retry-after", "").strip()
    try:
        pause = float(asked)
    except ValueError:
        until, now = _instant(asked), _instant(headers.get("date", "")) or datetime.now(UTC)
        pause = (until - now).total_seconds() if until else 0.0
    return min(longest, max(0.0, pause)) if math.isfinite(pause) else 0.0


def _instant(date: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _count(value: object) -> int:
    """A number of tokens that a server told; 0 where it told none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return max(0, int(value))


def _content(content: object) -> str | None:
    """The text of a message, which is a string or a list of parts; parts that hold thoughts are left out."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _label(text: str, choices: Sequence[str]) -> str | None:
    named = choice_of(text, choices)
    if named is None:
        try:
            told = json.loads(text)
        except ValueError:
            return None
        if isinstance(told, dict) and isinstance(told.get("label"), str):
            named = choice_of(told["label"], choices)
    return named
