"""Boards are told what metrics.jsonl says, and find a run again; stand-ins take the calls of their libraries."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest

from gristmill.corpus.store.errors import MissingExtra
from gristmill.training.loggers import boards
from gristmill.training.loggers.boards import numbers
from gristmill.training.loggers.metrics import read_metrics


class Service:
    """What wandb, mlflow and trackio would have sent: (run, step, values); and the runs that were begun."""

    def __init__(self):
        self.sent, self.begun, self.ended, self.broken = [], [], [], False

    def run(self, name):
        def log(values, step):
            if self.broken:
                raise ConnectionError("no route to the service")
            self.sent.append((name, step, dict(values)))

        return SimpleNamespace(id=name, name=name, log=log, finish=lambda: self.ended.append(name))

    def wandb(self):
        def init(*, project, name, id, resume, dir, config):
            self.begun.append((project, name, id, resume, config["steps"]))
            return self.run(id or "w1")

        return SimpleNamespace(init=init)

    def trackio(self):
        def init(project, name=None, config=None, resume="never"):
            self.begun.append((project, name, resume, config["steps"]))
            return self.run(name)

        return SimpleNamespace(init=init)

    def mlflow(self):
        def start_run(run_id=None, run_name=None):
            self.begun.append((run_id, run_name))
            self.now = self.run(run_id or "m1")
            return SimpleNamespace(info=SimpleNamespace(run_id=self.now.id))

        return SimpleNamespace(
            set_experiment=lambda name: self.begun.append(name),
            start_run=start_run,
            log_params=lambda params: self.begun.append(sorted(params)[:1]),
            log_metrics=lambda values, step: self.now.log(values, step),
            end_run=lambda: self.ended.append(self.now.id),
        )


@pytest.fixture
def service(monkeypatch):
    made = Service()
    for name in ("wandb", "trackio", "mlflow"):
        monkeypatch.setitem(sys.modules, name, getattr(made, name)())
    return made


@pytest.mark.parametrize("board", ["wandb", "mlflow", "trackio"])
def test_a_board_is_told_what_the_reports_say_and_knows_the_run_when_it_goes_on(
    board, service, run, pool, held, tmp_path
):
    folder = tmp_path / "first"
    run(pool, held, folder, steps=20, loggers=(board,), project="mill", evaluate_every=10)
    reports = read_metrics(str(folder / "metrics.jsonl"))
    (name,) = {name for name, _, _ in service.sent}
    assert [(step, values) for _, step, values in service.sent] == [(line["step"], numbers(line)) for line in reports]
    assert {"loss", "lr", "bits_per_byte/twos"} <= service.sent[-1][2].keys()
    assert "mill" in service.begun or service.begun[0][0] == "mill"
    assert service.ended == [name]
    (folder / "run_card.json").unlink()  # as if stopped before its end was written
    run(pool, held, folder, steps=20, loggers=(board,), project="mill", evaluate_every=10)
    assert json.loads((folder / "boards.json").read_text()) == {board: name}
    assert name in service.begun[-1]
    assert service.ended == [name, name]


def test_a_service_that_does_not_answer_stops_no_training_and_is_told_of_once(
    service, run, pool, held, tmp_path, capsys
):
    service.broken = True
    _, card = run(pool, held, tmp_path / "run", steps=20, loggers=("wandb",))
    assert card["steps"] == 20
    assert capsys.readouterr().err.count("wandb could not be told: no route to the service") == 1
    assert len(read_metrics(str(tmp_path / "run" / "metrics.jsonl"))) == 4


def test_a_board_that_is_not_installed_is_told_by_its_extra(run, pool, held, tmp_path, monkeypatch):
    def absent(module):
        raise ImportError(module)

    monkeypatch.setattr(boards, "importlib", SimpleNamespace(import_module=absent))
    for board in ("wandb", "mlflow", "trackio", "tensorboard"):
        with pytest.raises(MissingExtra, match=board):
            run(pool, held, tmp_path / board, steps=4, loggers=(board,))
    assert importlib.import_module("json") is json


def test_the_numbers_of_a_report_leave_out_what_is_unknown():
    report = {"step": 3, "loss": 1.5, "mfu": None, "shares": {"a": 0.25}, "targets": {"t": {"x": 1.0, "y": None}}}
    assert numbers(report) == {"loss": 1.5, "shares/a": 0.25, "targets/t/x": 1.0}


def test_boards_change_nothing_of_what_a_run_is(service, run, pool, held, tmp_path):
    run(pool, held, tmp_path / "run", steps=10)
    settings = (tmp_path / "run" / "settings.json").read_text()
    (tmp_path / "run" / "run_card.json").unlink()
    run(pool, held, tmp_path / "run", steps=10, loggers=("wandb", "trackio"))
    assert (tmp_path / "run" / "settings.json").read_text() == settings
