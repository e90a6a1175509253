"""Which language model answers: an endpoint, a folder of this machine, or vLLM, told apart by `kind`.

Plain data that imports nothing heavy; unknown kinds and keys are refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class EndpointSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How to reach a server. Only `model` and `choices_by` change what is recorded; the rest is about speed."""

    kind: Literal["endpoint"] = Field(default="endpoint", description="an HTTP server that speaks the OpenAI protocol")
    url: str = Field(description="base URL, up to and including the version: http://localhost:8000/v1")
    model: str = Field(min_length=1, description="the name that the server gives the model")
    api_key_env: str | None = Field(default=None, description="environment variable that holds the key")
    concurrency: int = Field(default=16, ge=1, le=4096, description="requests in flight, per worker process")
    timeout: float = Field(default=120.0, gt=0, description="seconds for one attempt")
    retries: int = Field(default=5, ge=0, description="attempts after the first before a request fails")
    backoff: float = Field(default=0.5, gt=0, description="seconds before the first retry; doubles each time")
    longest_backoff: float = Field(default=60.0, gt=0, description="most seconds before a retry")
    requests_per_minute: float | None = Field(
        default=None, gt=0, description="most requests a minute, per worker process; default: no limit"
    )
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="most tokens a minute, per worker process; default: no limit"
    )
    give_up_after: int = Field(default=20, ge=1, description="requests that fail in a row before the run stops")
    choices_by: Literal["json_schema", "guided_choice", "text"] = Field(
        default="json_schema", description="how the server is told to pick from a list of labels"
    )
    extra_body: dict[str, Any] = Field(default_factory=dict, description="added to every request, e.g. min_p")

    def recorded(self) -> dict[str, Any]:
        """What changes an answer."""
        return self.model_dump(mode="json", include={"kind", "model", "choices_by", "extra_body"})


class LocalSettings(BaseModel, frozen=True, extra="forbid"):
    """A model on disk: `gristmill` for a run of `gristmill train` or what `save_own` wrote; else `transformers`."""

    kind: Literal["transformers", "gristmill"] = Field(description="transformers, or gristmill for a model of ours")
    path: str = Field(description="folder of the model; a name on a hub is refused: fetch it first")
    device: str = Field(default="auto", description="auto: cuda where there is one, else cpu")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on cuda, else float32"
    )
    batch_tokens: int = Field(
        default=16_384, ge=1, description="prompt and reply tokens in one batch, padding included"
    )

    def recorded(self) -> dict[str, Any]:
        """What changes an answer: the weights themselves, wherever they lie, and the arithmetic."""
        from .local_files import weights_fingerprint

        return {
            "kind": self.kind,
            "weights": weights_fingerprint(self.path),
            **self.model_dump(mode="json", include={"dtype", "batch_tokens"}),
        }


class VllmSettings(BaseModel, frozen=True, extra="forbid"):
    """A model folder and what vLLM's `LLM` takes."""

    kind: Literal["vllm"] = Field(default="vllm", description="vLLM in this process")
    path: str = Field(description="folder of the model")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of vllm.LLM")
    slice: int = Field(
        default=1024, ge=1, description="requests handed over together; finished ones are cached after each"
    )

    def recorded(self) -> dict[str, Any]:
        """What changes an answer."""
        from .local_files import weights_fingerprint

        return {"kind": self.kind, "weights": weights_fingerprint(self.path), "options": self.options}


EngineSettings = Annotated[EndpointSettings | LocalSettings | VllmSettings, Field(discriminator="kind")]
