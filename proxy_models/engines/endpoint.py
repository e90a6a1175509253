"""Any server that speaks the OpenAI chat protocol: vLLM, SGLang, llama.cpp's server, hosted models.

A fixed number of coroutines, each with a connection of its own, take requests from one list: concurrency is bounded
by construction. A refused, late, broken or overloaded reply is tried again after a pause that doubles; the pause a
server asks for (Retry-After) holds back all of them. What the server calls a bad request becomes a failed reply.

Refuses to go on (raises) where every request would end alike: a rejected key, an unknown model or path, a redirect, no
money left, and a server that has failed `give_up_after` requests in a row with all their retries. What was answered
until then is cached.
"""

import asyncio
import json
import math
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import fingerprint
from ...corpus.text.charsets import mend
from .cache import Reply
from .endpoint_http import CHAT, Address, Connection, Malformed
from .endpoint_replies import refusal, reply_in, told_by
from .engine import Done, Request
from .settings import EndpointSettings as EndpointSettings

HOPELESS = (401, 402, 403, 404, 405, 407, 410)  # no request of this run can succeed, nor where a reply sends elsewhere
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
            key = os.environ.get(settings.api_key_env, "").strip()
            if not key:
                raise RequestError(f"the environment variable {settings.api_key_env}, which holds the key, is not set")
            if not re.fullmatch("[!-~]+", key):
                raise RequestError(f"the key in {settings.api_key_env} has characters that no key has (a line end?)")
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
                    status, headers, answer = await connection.post(CHAT, body)
                if not 200 <= status < 300:
                    reason = f"HTTP {status}: {answer[:200].decode('utf-8', 'replace')}"
                else:
                    told = told_by(answer, headers)
                    refused = refusal(told)
                    if refused is None:
                        reply = reply_in(told, request)
                        self._failed_in_a_row = 0
                        return reply
                    status, reason = refused[0], f"HTTP {status} that stands for {refused[0]}: {refused[1]}"
            except TimeoutError:
                connection.close()
                status, headers, reason = 0, {}, f"no reply within {self.settings.timeout:g} s"
            except (OSError, Malformed) as error:
                connection.close()
                status, headers, reason = 0, {}, f"{type(error).__name__}: {error}"
            if status in HOPELESS or 300 <= status < 400:
                aside = f" and sends to {headers['location'][:200]!r}" if headers.get("location") else ""
                raise RequestError(f"{self.address.shown} refuses model {self.settings.model!r}{aside}: {reason}")
            if 400 <= status < 500 and status not in PASSING:
                return Reply("", "error", error=reason)  # the fault of this request: no retry would help
            pause = self._pause(request, attempt)
            asked = retry_after(headers, self.settings.longest_backoff)
            if status in (429, 503) or asked:
                pause = max(pause, asked)
                pace.hold(pause)
            if attempt < self.settings.retries:
                await asyncio.sleep(pause)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self.settings.give_up_after:
            raise WorkspaceError(
                f"{self.address.shown} failed {self._failed_in_a_row} requests in a row, the last with: {reason}; "
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
    asked, unit = headers.get("retry-after", "").strip(), 1.0
    if headers.get("retry-after-ms", "").strip():  # as OpenAI and Azure have it, beside the other
        asked, unit = headers["retry-after-ms"].strip(), 1e-3
    try:
        pause = float(asked) * unit
    except ValueError:
        until, now = _instant(asked), _instant(headers.get("date", "")) or datetime.now(UTC)
        pause = (until - now).total_seconds() if until else 0.0
    return min(longest, max(0.0, pause)) if math.isfinite(pause) else 0.0


def _instant(date: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(date) if date[:4].isdecimal() else parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
