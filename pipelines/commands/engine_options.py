"""How the commands that ask a language model name it: an endpoint, a folder, or a YAML file with all settings."""

from typing import Annotated, Any

import typer
import yaml

from ...corpus.store.errors import RequestError
from ...proxy_models.engines.local_settings import own_files

EndpointOption = Annotated[
    str | None, typer.Option(help="base URL of a server that speaks the OpenAI protocol; its model is --model")
]
ModelOption = Annotated[
    str | None, typer.Option(help="the model's name at the endpoint, or a folder with a model on this machine")
]
EngineFileOption = Annotated[
    str | None, typer.Option(help="YAML file of engine settings (kind, url, model, concurrency, …)")
]
RequestCacheOption = Annotated[
    str | None, typer.Option(help="file that remembers replies; default: requests/ in the workspace")
]


def engine_of(endpoint: str | None, model: str | None, file: str | None) -> dict[str, Any] | None:
    """Engine settings from the three options; None where none is given."""
    if file is not None:
        if endpoint or model:
            raise RequestError("--engine holds all settings of the engine; leave --endpoint and --model out")
        try:
            with open(file, encoding="utf-8") as opened:
                told = yaml.safe_load(opened)
        except (OSError, yaml.YAMLError) as error:
            raise RequestError(f"--engine {file} cannot be read: {error}") from error
        if not isinstance(told, dict):
            raise RequestError(f"--engine {file} holds {type(told).__name__}, not a mapping of settings")
        return told
    if endpoint is not None:
        if model is None:
            raise RequestError("--endpoint needs --model, the name that the server gives the model")
        return {"kind": "endpoint", "url": endpoint, "model": model}
    if model is None:
        return None
    return {"kind": "gristmill" if own_files(model) is not None else "transformers", "path": model}
