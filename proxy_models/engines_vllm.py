"""vLLM in this process, for a machine with a GPU: prefix caching on, all requests of a call handed over at once.

Not exercised by the test suite, which has no GPU; the requests it is given are the ones every engine gets.
Refuses nothing itself; vLLM reports what it cannot do.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from ..corpus.refusal import MissingExtra
from ..corpus.shards import fingerprint
from .engines import Done, Request
from .engines_cache import Reply
from .engines_local_settings import weights_fingerprint


class VllmSettings(BaseModel, frozen=True, extra="forbid"):
    """A model folder and what vLLM's `LLM` takes."""

    kind: Literal["vllm"] = "vllm"
    path: str
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of vllm.LLM")
    slice: int = Field(1024, ge=1, description="requests handed over together; finished ones are cached after each")

    def recorded(self) -> dict[str, Any]:
        return {"kind": self.kind, "weights": weights_fingerprint(self.path), "options": self.options}


class VllmEngine:
    """See the module."""

    whole = False

    def __init__(self, settings: VllmSettings) -> None:
        try:
            import vllm  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingExtra("vllm", "vllm") from error
        self.settings, self._vllm = settings, vllm
        self.model = fingerprint(settings.recorded())
        self._llm = vllm.LLM(model=settings.path, enable_prefix_caching=True, **settings.options)

    def generate(self, requests: Sequence[Request], wanted: frozenset[int], done: Done) -> None:
        places = sorted(wanted)
        for start in range(0, len(places), self.settings.slice):
            some = places[start : start + self.settings.slice]
            turns = [self._turns(requests[place]) for place in some]
            outputs = self._llm.chat(turns, [self._sampling(requests[place]) for place in some], use_tqdm=False)
            done([(place, self._reply(output)) for place, output in zip(some, outputs, strict=True)])

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

    def _reply(self, output: Any) -> Reply:
        said = output.outputs[0]
        finish = "length" if said.finish_reason == "length" else "stop"
        return Reply(said.text.strip(), finish, len(output.prompt_token_ids), len(said.token_ids))
