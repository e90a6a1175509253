"""Language models at work on documents: one interface, whatever answers.

An engine takes requests and gives one reply for each, as they finish. `answer` puts the request cache in front of it,
so that a request that was answered once is never paid for again, and orders what is left so that an engine that keeps
shared prefixes in memory (vLLM, SGLang) sees them together.

Refuses nothing itself: a request that cannot be answered gets a reply with `error`, and the caller decides. What is
wrong with the whole run (no such model, a refused key, a dead server) is raised by the engine.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .cache import Reply, RequestCache
from .thoughts import answered, thinks_aloud

# called as replies finish, with all that finished together: (position in the request list, reply)
Done = Callable[[Sequence[tuple[int, Reply]]], None]


@dataclass(frozen=True)
class Request:
    """What a model is asked. The system text and the instruction come first: they are what requests share."""

    document: str  # the part that differs from request to request
    instruction: str = ""  # comes before the document
    system: str = ""
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    choices: tuple[str, ...] = ()  # where given, the reply is one of these

    @property
    def user(self) -> str:
        return f"{self.instruction}\n\n{self.document}" if self.instruction else self.document

    def key(self, model: str) -> str:
        """Identifies (model, prompt, parameters): equal keys, equal replies."""
        told = json.dumps((model, *(getattr(self, name) for name in self.__dataclass_fields__)))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


class Engine(Protocol):
    """Anything that answers requests.

    model        names everything that changes an answer besides the request: weights, revision, dialect
    whole        the engine's arithmetic depends on which requests share a batch, so it wants to see all of them,
                 answered or not, and skips the batches in which nothing is missing
    """

    model: str
    whole: bool

    def generate(self, requests: Sequence[Request], wanted: frozenset[int], done: Done) -> None:
        """Answer the requests at the positions in `wanted`, each exactly once, in any order."""
        ...


@dataclass
class Spending:
    """What requests cost. Counts tokens of every reply, fresh or remembered, so that a resumed run adds up alike."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    fresh: int = field(default=0, compare=False)  # asked in this process; the others were remembered or repeated

    def add(self, reply: Reply) -> None:
        self.requests += 1
        self.failed += reply.error is not None
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens

    def counts(self) -> dict[str, int]:
        """What a shard records: whole numbers that add up over shards."""
        return {
            "requests": self.requests,
            "failed_requests": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


def cost(counts: dict[str, int], prompt_price: float, completion_price: float) -> float:
    """Money for a table's counts; prices are per million tokens."""
    prompt, completion = counts.get("prompt_tokens", 0), counts.get("completion_tokens", 0)
    return (prompt * prompt_price + completion * completion_price) / 1e6


def prefix_order(requests: Sequence[Request]) -> list[int]:
    """Positions, those of one system text and instruction together, short documents first; the rest by content."""
    return sorted(
        range(len(requests)),
        key=lambda at: (
            requests[at].system,
            requests[at].instruction,
            len(requests[at].document),
            requests[at].document,
        ),
    )


def answer(
    engine: Engine, requests: Sequence[Request], cache: RequestCache | None = None
) -> tuple[list[Reply], Spending]:
    """A reply for each request, in the order of the requests. Equal requests are asked once.

    Replies enter the cache as they finish; failed ones do not, so that a later run tries them again.
    """
    keys = [request.key(engine.model) for request in requests]
    known = cache.find(set(keys)) if cache is not None else {}
    first: dict[str, int] = {}
    for at in prefix_order(requests):
        first.setdefault(keys[at], at)
    asked = list(first.values())  # positions, one for each distinct request, in the order to ask them
    wanted = frozenset(place for place, at in enumerate(asked) if keys[at] not in known)
    spending = Spending(fresh=len(wanted))

    def done(finished: Sequence[tuple[int, Reply]]) -> None:
        fresh = [(keys[asked[place]], reply) for place, reply in finished]
        known.update(fresh)
        if cache is not None:
            cache.put([(key, reply) for key, reply in fresh if reply.error is None])

    if wanted:
        try:
            if engine.whole:
                engine.generate([requests[at] for at in asked], wanted, done)
            else:
                _generate_some(engine, [requests[at] for at in asked], sorted(wanted), done)
        finally:
            if cache is not None:
                cache.flush()
    replies = [_without_thoughts(known[key], request) for key, request in zip(keys, requests, strict=True)]
    for reply in replies:
        spending.add(reply)
    return replies, spending


def _without_thoughts(reply: Reply, request: Request) -> Reply:
    """The reply as it may be used: without thoughts, also where the cache kept it with them.

    One that still holds a mark of thoughts, of which its request says nothing, counts as unfinished.
    """
    if reply.error is not None:
        return reply
    text, ended = answered(reply.text)
    whole = ended and not thinks_aloud(text, "\n".join((request.system, request.instruction, request.document)))
    return (
        reply if text == reply.text and whole else replace(reply, text=text, finish=reply.finish if whole else "length")
    )


def _generate_some(engine: Engine, requests: Sequence[Request], places: Sequence[int], done: Done) -> None:
    """Hand the engine only what is wanted, and translate positions back."""
    some = [requests[place] for place in places]
    engine.generate(some, frozenset(range(len(some))), lambda finished: done([(places[i], r) for i, r in finished]))


def chat_text(request: Request) -> str:
    """The prompt for a model without a chat format."""
    return "\n\n".join(part for part in (request.system, request.user) if part) + "\n\n"


def choice_of(text: str, choices: Iterable[str]) -> str | None:
    """The one choice that a reply names, or None: exact but for case, white space, quotes and a full stop."""
    said = text.strip().strip("\"'`*.").strip().casefold()
    for choice in choices:
        if said == choice.casefold():
            return choice
    return None
