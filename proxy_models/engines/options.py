"""How a command line names a language model: an endpoint, a folder, or a YAML file with all settings."""

from typing import Any

from pydantic import BaseModel, Field

from ...corpus.given_files import read_yaml
from ...corpus.store.errors import RequestError


class EngineOptions(BaseModel, frozen=True, extra="forbid"):
    """One of endpoint with model, model alone, and engine."""

    endpoint: str | None = Field(
        default=None, description="base URL of a server that speaks the OpenAI protocol; its model is --model"
    )
    model: str | None = Field(
        default=None, description="the model's name at the endpoint, or a folder with a model on this machine"
    )
    engine: str | None = Field(
        default=None, description="YAML file of engine settings (kind, url, model, concurrency, …)"
    )

    def chosen(self) -> dict[str, Any] | None:
        """Engine settings from the three options; None where none is given."""
        if self.engine is not None:
            if self.endpoint or self.model:
                raise RequestError("--engine holds all settings of the engine; leave --endpoint and --model out")
            return read_engine(self.engine)
        if self.endpoint is not None:
            if self.model is None:
                raise RequestError("--endpoint needs --model, the name that the server gives the model")
            return {"kind": "endpoint", "url": self.endpoint, "model": self.model}
        if self.model is None:
            return None
        from .local_files import own_files

        return {"kind": "gristmill" if own_files(self.model) is not None else "transformers", "path": self.model}


def read_engine(file: str) -> dict[str, Any]:
    """Engine settings from a YAML file. RequestError for one that cannot be read or is no mapping."""
    read = read_yaml(file, f"--engine {file}")
    if not isinstance(read, dict):
        raise RequestError(f"--engine {file} holds {type(read).__name__}, not a mapping of settings")
    return read


def with_engine(values: dict[str, Any], options: EngineOptions) -> dict[str, Any]:
    """Settings with the engine that the options name, where they name one."""
    engine = options.chosen()
    return values if engine is None else values | {"engine": engine}
