"""Which engine: settings as data, told apart by `kind`, and one open engine per process and settings.

Refuses unknown kinds and keys by name before anything runs.
"""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from ...corpus.store.errors import RequestError
from .endpoint import EndpointEngine
from .engine import Engine
from .settings import EndpointSettings, EngineSettings, LocalSettings, VllmSettings
from .vllm import VllmEngine

_ADAPTER: TypeAdapter[Any] = TypeAdapter(EngineSettings)


def engine_settings(told: dict[str, Any], where: str = "engine") -> EndpointSettings | LocalSettings | VllmSettings:
    """Settings from a mapping, as read from YAML or the command line."""
    try:
        return _ADAPTER.validate_python(told)
    except ValueError as error:
        raise RequestError(f"{where}: {error}") from error


def open_engine(settings: EndpointSettings | LocalSettings | VllmSettings) -> Engine:
    """The engine for these settings; a worker process opens each one once."""
    return _open(settings.model_dump_json())


@lru_cache(maxsize=4)
def _open(told: str) -> Engine:
    settings = _ADAPTER.validate_json(told)
    if isinstance(settings, EndpointSettings):
        return EndpointEngine(settings)
    if isinstance(settings, VllmSettings):
        return VllmEngine(settings)
    from .local import LocalEngine  # torch is paid for only where it answers

    return LocalEngine(settings)
