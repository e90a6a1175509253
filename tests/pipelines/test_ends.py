"""How a command ends that cannot go on: one line, the right exit code, and no output lost without a word."""

import errno
import gc
import io
import logging
import sys
import threading
from pathlib import Path

import pytest

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.pipelines import cli
from gristmill.pipelines.engine.beam import beam
from gristmill.pipelines.engine.runner import RunnerOptions, run_graph


def failing(error: BaseException):
    def fail(_: int) -> int:
        raise error

    return lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Beam's log brings to the terminal."""
    said: list[str] = []

    class Terminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                said.append(record.getMessage())

    handler = Terminal()
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers, handler])
    return said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_disk_that_takes_no_more_is_one_sentence_without_the_log_of_beam(number: int, log: list[str]):
    with pytest.raises(WorkspaceError, match=r"^/x/y cannot be written: .*; what was finished stays"):
        run_graph(failing(OSError(number, "said otherwise", "/x/y")), RunnerOptions())
    assert log == []


def test_a_refusal_in_a_graph_is_that_refusal_without_the_log_of_beam(log: list[str]):
    with pytest.raises(RequestError, match=r"^name another column$"):
        run_graph(failing(RequestError("name another column")), RunnerOptions())
    assert log == []


def test_what_a_job_server_says_of_a_refusal_is_held_too(log: list[str]):
    def fail(_: int) -> int:
        logging.error("Traceback ... RequestError: name another column [while running 'fit']")
        raise RequestError("name another column")

    with pytest.raises(RequestError, match=r"^name another column$"):
        run_graph(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail), RunnerOptions())
    assert log == []


def test_an_interrupt_in_a_graph_is_an_interrupt(log: list[str]):
    with pytest.raises(KeyboardInterrupt):
        run_graph(failing(KeyboardInterrupt()), RunnerOptions())
    assert log == []


def test_a_defect_in_a_graph_keeps_its_traceback_and_the_log_of_beam(log: list[str]):
    with pytest.raises(Exception, match="a defect"):
        run_graph(failing(ValueError("a defect")), RunnerOptions())
    assert log


def test_workers_that_an_interrupt_ended_print_no_traceback_and_other_threads_do(
    capsys: pytest.CaptureFixture[str],
):
    run_graph(lambda pipeline: pipeline | beam.Create([1]), RunnerOptions())

    def said(error: Exception) -> str:
        threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))
        return capsys.readouterr().err

    assert said(RuntimeError("Worker subprocess exited with return code -2")) == ""
    assert "a defect" in said(ValueError("a defect"))


@pytest.mark.parametrize("runner", ["Wrong", "nonsense.Runner", "json.Nope", "json", ""])
def test_a_runner_that_is_none_is_refused_in_one_line(runner: str):
    with pytest.raises(RequestError, match=rf"^Beam does not take --runner={runner}: [^\n]{{0,320}}$"):
        run_graph(failing(ValueError()), RunnerOptions(beam=(f"--runner={runner}",)))


class _Narrow(io.RawIOBase):
    """A file that takes a few bytes a write, as a disk does that is nearly full."""

    def __init__(self, room: int) -> None:
        self.room, self.held = room, b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(data)[: min(7, self.room)]
        self.held, self.room = self.held + taken, self.room - len(taken)
        return len(taken)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch):
    held = []

    def use(room: int) -> _Narrow:
        raw = _Narrow(room)
        out = io.TextIOWrapper(raw, "utf-8", write_through=True)  # type: ignore[arg-type]  # as PYTHONUNBUFFERED has it
        held.append(out)  # as sys.__stdout__ holds the one that Python opened
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(cli, "_let_go_of_output", lambda: None)
        return raw

    return use


def test_output_that_is_not_buffered_is_written_whole(narrow):
    raw = narrow(10**6)
    with pytest.raises(SystemExit) as left:
        cli.main(["list", "rules"])
    sys.stdout.flush()
    assert left.value.code == 0
    assert len(raw.held) > 100
    assert raw.held.endswith(b"\n")


def test_output_that_a_full_disk_cuts_short_is_no_success(narrow, capsys: pytest.CaptureFixture[str]):
    narrow(20)
    with pytest.raises(SystemExit) as left:
        cli.main(["list", "rules"])
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == "error: a file cannot be written: No space left on device"


def test_an_interrupt_of_a_command_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stopped(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_command", lambda name: lambda: stopped(name))
    with pytest.raises(SystemExit) as left:
        cli.main(["audit"])
    assert left.value.code == 130
    assert capsys.readouterr().err.strip() == "stopped; the same command goes on from where it was"


def test_a_workspace_that_cannot_be_made_is_told_by_its_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("x")
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    for place in ("file", "file/below"):
        with pytest.raises(SystemExit) as left:
            cli.main(["extract", str(tmp_path / "a.jsonl"), "--workspace", str(tmp_path / place)])
        assert left.value.code in (1, 2)
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: --workspace ")


def test_a_command_leaves_the_output_of_the_process_that_called_it_as_it_was(tmp_path):
    from gristmill.pipelines.cli import main

    with open(tmp_path / "out", "wb", buffering=0) as raw:
        given = io.TextIOWrapper(raw, write_through=True)
        before, sys.stdout = sys.stdout, given
        try:
            for _ in range(2):
                with pytest.raises(SystemExit):
                    main(["list", "scores"])
                gc.collect()
            assert sys.stdout is given
            print("end")
        finally:
            sys.stdout = before
    text = (tmp_path / "out").read_text()
    assert text.count("zipfit") == 2
    assert text.endswith("end\n")
