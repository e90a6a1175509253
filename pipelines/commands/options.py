"""What the commands share: their common options, how they run a stage, and how they print a result."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from ...corpus.given_files import read_yaml
from ...corpus.settings import truths_for_numbers
from ...corpus.store.errors import RequestError
from ..printing import printed

if TYPE_CHECKING:  # commands that run no graph do not pay for importing Beam
    from ...corpus.store.workspace import Workspace
    from ..engine.runner import RunnerOptions

M = TypeVar("M", bound=BaseModel)

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", help="folder or fsspec URL that holds the tables")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object, for machines")]
ForceOption = Annotated[bool, typer.Option("--force", help="make anew what has other settings or was damaged")]
RefitOption = Annotated[
    bool,
    typer.Option("--refit", help="fit anew what stays in force when the corpus changes: tokenizer, models, clusters"),
]
KeepOption = Annotated[
    int, typer.Option("--keep-generations", min=1, help="results of this stage that stay on disk, the new one included")
]
SettingsOption = Annotated[
    str | None, typer.Option("--settings", help="YAML file of settings, as in this section of a settings file")
]
PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", help="Python file that adds parts of its own; may be repeated")
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="local worker processes; ignored with -- --runner=…")
]

ClusterOption = Annotated[
    str | None, typer.Option("--cluster", help="YAML file of the engine that runs it; gristmill cluster show FILE")
]


def open_workspace(url: str) -> Workspace:
    """The workspace at a folder or URL; loads what reads tables only now."""
    from ...corpus.store.workspace import Workspace

    return Workspace(url)


def runner_options(
    context: typer.Context,
    workers: int = 1,
    refit: bool = False,
    mend: bool = False,
    keep: int = 1,
    cluster: str | None = None,
) -> RunnerOptions:
    """Workers from the option, the engine from a cluster file or by Beam's own options from after `--`."""
    from ..clusters.settings import read_cluster
    from ..engine.runner import RunnerOptions

    beam = tuple((context.obj or {}).get("beam", ()))
    engine = read_cluster(cluster) if cluster is not None else None
    return RunnerOptions(workers=workers, beam=beam, refit=refit, mend=mend, keep=keep, cluster=engine)


def settings_of(model: type[M], /, **values: Any) -> M:
    """Settings from a command's options; a value that the settings refuse is a RequestError that names the option."""
    truths = list(truths_for_numbers(model, values))
    if truths:
        raise RequestError("; ".join(f"--{place.replace('_', '-')}: true or false is no number" for place in truths))
    try:
        return model(**values)
    except ValidationError as error:
        raise RequestError("; ".join(map(_reason, error.errors()))) from None


def _reason(problem: Any) -> str:
    """What the settings refuse, by the name of the option where it is of one."""
    place = ".".join(map(str, problem["loc"])).replace("_", "-")
    said = problem["msg"].removeprefix("Value error, ")
    return f"--{place}: {said}" if place else said


def settings_file(path: str) -> dict[str, Any]:
    """What a YAML file says of a stage's settings; the options of the command go before it."""
    content = read_yaml(path, f"--settings {path}")
    if not isinstance(content, dict):
        raise RequestError(f"--settings {path} must be a mapping of settings")
    return content


def show(summary: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line per table: `filter: decisions/filter: in 120, kept 97, dropped 23`."""
    if as_json:
        sys.stdout.write(json.dumps(summary, default=str) + "\n")
        return
    sys.stdout.write(printed(summary))
