"""vLLM in this process, for a machine with a GPU: prefix caching on, all requests of a slice handed over at once.

A model without a chat format gets the plain prompt, as in the local engine. The test suite has no GPU: it runs this
code against a stand-in with the signatures of vLLM 0.11 and later. Refuses nothing itself; vLLM reports what it cannot
do, and a reply that is none of the choices gets an error.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ...corpus.store.errors import MissingExtra
from ...corpus.store.shards import fingerprint
from .cache import Reply
from .engine import Done, Request, chat_text, choice_of
from .settings import VllmSettings as VllmSettings


class VllmEngine:
    """See the module."""

    whole = False

    def __init__(self, settings: VllmSettings) -> None:
        try:
            vllm: Any = import_module("vllm")
        except ImportError as error:
            raise MissingExtra("vllm", "vllm") from error
        self.settings, self._vllm = settings, vllm
        self.model = fingerprint(settings.recorded())
        self._llm = vllm.LLM(model=settings.path, **{"enable_prefix_caching": True, **settings.options})
        self._chats = bool(getattr(self._llm.get_tokenizer(), "chat_template", None))

    def generate(self, requests: Sequence[Request], wanted: frozenset[int], done: Done) -> None:
        places = sorted(wanted)
        for start in range(0, len(places), self.settings.slice):
            some = places[start : start + self.settings.slice]
            asked = [requests[place] for place in some]
            sampling = [self._sampling(request) for request in asked]
            if self._chats:
                outputs = self._llm.chat([self._turns(request) for request in asked], sampling, use_tqdm=False)
            else:
                outputs = self._llm.generate([chat_text(request) for request in asked], sampling, use_tqdm=False)
            replies = [self._reply(output, request) for output, request in zip(outputs, asked, strict=True)]
            done(list(zip(some, replies, strict=True)))

    def _turns(self, request: Request) -> list[dict[str, str]]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        return [*system, {"role": "user", "content": request.user}]

    def _sampling(self, request: Request) -> Any:
        chosen: dict[str, Any] = {}
        if request.choices:
            from vllm.sampling_params import StructuredOutputsParams  # type: ignore[import-not-found]

            chosen["structured_outputs"] = StructuredOutputsParams(choice=list(request.choices))
        return self._vllm.SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            seed=request.seed,
            **chosen,
        )

    def _reply(self, output: Any, request: Request) -> Reply:
        said = output.outputs[0]
        text, tokens = said.text.strip(), (len(output.prompt_token_ids or ()), len(said.token_ids))
        if request.choices:
            named = choice_of(text, request.choices)
            if named is None:
                return Reply("", "error", *tokens, f"not one of the choices: {text[:80]!r}")
            text = named
        return Reply(text, "length" if said.finish_reason == "length" else "stop", *tokens)
