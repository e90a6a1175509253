"""Boards: one interface (`Board`) for TensorBoard, Weights & Biases, MLflow and Trackio.

A board is told every report of a run as flat numbers by name (`loss`, `bits_per_byte/books`, `shares/web`) at its step,
and is found again when the run goes on: the name under which a service knows the run stands in `boards.json` of the
run's folder. Where it is sent, and as whom, is each library's own configuration (`WANDB_MODE`, `MLFLOW_TRACKING_URI`,
`TRACKIO_SPACE_ID`). What cannot be sent ends no run: it is said, and the report stands in `metrics.jsonl`.
Refuses a board whose library is not installed.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from ...corpus.store.errors import MissingExtra
from ..run_folder import read_json, write_json

BOARDS_FILE = "boards.json"
SCALARS = ("loss", "lr", "tokens_per_second", "mfu", "tokens")


class Board(Protocol):
    """What a run tells its reports to."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name at a step; a step may be told again after a rollback."""

    def close(self) -> None:
        """No more reports come."""


def numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report by flat name; what is unknown (null) is left out."""
    found = {name: report[name] for name in SCALARS if report.get(name) is not None}
    found |= {name: value for group in ("bits_per_byte", "shares") for name, value in _named(report, group)}
    for target, scores in report.get("targets", {}).items():
        found |= {f"targets/{target}/{name}": value for name, value in scores.items() if value is not None}
    return found


def _named(report: Mapping[str, Any], group: str) -> Iterator[tuple[str, float]]:
    return ((f"{group}/{name}", value) for name, value in report.get(group, {}).items() if value is not None)


def library(module: str, extra: str) -> Any:
    """The library of a board. MissingExtra where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(extra, extra) from error


class TensorBoard:
    """Event files in `tensorboard/` of the run's folder."""

    def __init__(self, folder: str, project: str, step: int, config: Mapping[str, Any]) -> None:
        writer = library("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._writer = writer(f"{folder}/tensorboard", purge_step=step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; its files lie in the run's folder."""

    def __init__(self, folder: str, project: str, step: int, config: Mapping[str, Any]) -> None:
        wandb = library("wandb", "wandb")
        known = remembered(folder, "wandb")
        self._run = wandb.init(
            project=project, name=run_title(folder), id=known, resume="allow", dir=folder, config=dict(config)
        )
        remember(folder, "wandb", self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow in the experiment of the project's name."""

    def __init__(self, folder: str, project: str, step: int, config: Mapping[str, Any]) -> None:
        self._mlflow = library("mlflow", "mlflow")
        known = remembered(folder, "mlflow")
        self._mlflow.set_experiment(project)
        run = self._mlflow.start_run(run_id=known, run_name=None if known else run_title(folder))
        if known is None:
            self._mlflow.log_params({name: str(value)[:500] for name, value in config.items()})
        remember(folder, "mlflow", run.info.run_id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        plain = {re.sub(r"[^\w\-. :/]", "_", name): float(value) for name, value in values.items()}
        self._mlflow.log_metrics(plain, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class Trackio:
    """A run of Trackio, under its folder's name."""

    def __init__(self, folder: str, project: str, step: int, config: Mapping[str, Any]) -> None:
        trackio = library("trackio", "trackio")
        known = remembered(folder, "trackio")
        self._run = trackio.init(
            project=project, name=known or run_title(folder), config=dict(config), resume="allow" if known else "never"
        )
        remember(folder, "trackio", self._run.name)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


BOARDS: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow, "trackio": Trackio}


class Told:
    """All boards of a run. What one of them cannot take is said once, and the others are told all the same."""

    def __init__(self, names: tuple[str, ...], folder: str, project: str, step: int, config: Mapping[str, Any]) -> None:
        self._boards = {name: BOARDS[name](folder, project, step, config) for name in dict.fromkeys(names)}
        self._failed: set[str] = set()

    def log(self, report: Mapping[str, Any]) -> None:
        values = numbers(report)
        for name, board in self._boards.items():
            self._try(name, lambda board=board: board.log(report["step"], values))

    def close(self) -> None:
        for name, board in self._boards.items():
            self._try(name, board.close)

    def _try(self, name: str, work: Any) -> None:
        try:
            work()
        except Exception as error:  # a service that does not answer is no reason to stop training
            if name not in self._failed:
                self._failed.add(name)
                sys.stderr.write(f"{name} could not be told: {error}; metrics.jsonl holds every report\n")


def run_title(folder: str) -> str:
    """The name of a run: that of its folder."""
    return os.path.basename(os.path.abspath(folder))


def remembered(folder: str, board: str) -> str | None:
    """The name under which a board knows the run, where it has been told of it before."""
    return (read_json(f"{folder}/{BOARDS_FILE}") or {}).get(board)


def remember(folder: str, board: str, name: str) -> None:
    write_json(f"{folder}/{BOARDS_FILE}", (read_json(f"{folder}/{BOARDS_FILE}") or {}) | {board: name})
