"""An engine that cannot be had is one sentence with what to do, within seconds, before a graph is handed to it."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from gristmill.corpus.store.errors import MissingExtra, RequestError, WorkspaceError
from gristmill.pipelines import cli
from gristmill.pipelines.clusters import reach
from gristmill.pipelines.engine.runner import RunnerOptions, lost_engine, refusal_in, run_graph


@pytest.fixture(autouse=True)
def nothing_reached_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_reached", set())
    monkeypatch.setattr(reach, "SECONDS", 1.0)
    monkeypatch.setattr(reach, "ANSWER", 1.0)


@pytest.fixture
def closed() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """An address at which something listens that never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for each in taken:
            each.close()


def said(*options: str) -> str:
    with pytest.raises(RequestError) as refused:
        run_graph(lambda pipeline: pytest.fail("the graph was built"), RunnerOptions(beam=options))
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "right"),
    [("NoSuchRunner", "there are"), ("DaskRuner", "DaskRunner"), ("FlinkRuner", "FlinkRunner"), ("json", "there are")],
)
def test_a_runner_that_there_is_not_is_answered_with_those_there_are(name: str, right: str):
    assert right in said(f"--runner={name}")


@pytest.mark.parametrize(
    ("options", "right"),
    [
        (("--runner=DaskRunner", "--dask_client_adress=tcp://h:1"), "did you mean --dask_client_address?"),
        (("--runner", "dask", "--colour=red"), "knows no option --colour"),
        (("--direct_num_worker=2",), "did you mean --direct_num_workers?"),
        (("--runner=FlinkRunner", "--flink_mastr=h:8081"), "did you mean --flink_master?"),
        (("--runner=PortableRunner", "--job_endpont=h:8099"), "did you mean --job_endpoint?"),
    ],
)
def test_an_option_that_beam_would_pass_over_is_refused(options: tuple[str, ...], right: str):
    pytest.importorskip("distributed")
    assert right in said(*options)


def test_an_option_of_a_job_server_that_is_like_no_other_is_left_to_it(closed: str):
    assert "--job_endpoint" in said("--runner=PortableRunner", f"--job_endpoint={closed}", "--speculative=true")


@pytest.mark.parametrize("form", ["tcp://{}", "{}"])
@pytest.mark.parametrize("runner", ["DaskRunner", "dask", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_a_scheduler_at_which_nobody_answers_is_named_with_what_to_start(closed: str, form: str, runner: str):
    pytest.importorskip("distributed")
    told = said(f"--runner={runner}", f"--dask_client_address={form.format(closed)}")
    assert "connection refused" in told
    assert "`dask scheduler`" in told


def test_what_listens_and_is_no_scheduler_is_told_so(mute: str):
    pytest.importorskip("distributed")
    assert "is no Dask scheduler" in said("--runner=DaskRunner", f"--dask_client_address=tcp://{mute}")


@pytest.mark.parametrize(
    ("content", "right"), [(None, "there is no file"), ("{", "is not what"), ("{}", "is not what"), ("[1]", "is not")]
)
def test_a_scheduler_file_that_is_none_is_told_so(tmp_path, content: str | None, right: str):
    pytest.importorskip("distributed")
    path = tmp_path / "scheduler.json"
    if content is not None:
        path.write_text(content)
    assert right in said("--runner=DaskRunner", f"--dask_scheduler_file={path}")


def test_the_scheduler_in_a_file_is_asked(tmp_path, closed: str):
    pytest.importorskip("distributed")
    (tmp_path / "s.json").write_text(json.dumps({"address": f"tcp://{closed}"}))
    assert "--dask_scheduler_file" in said("--runner=DaskRunner", f"--dask_scheduler_file={tmp_path / 's.json'}")


@pytest.mark.parametrize("runner", ["PortableRunner", "FlinkRunner", "SparkRunner", "portable", "flink"])
def test_a_job_server_at_which_nobody_answers_is_told_and_not_waited_for(closed: str, mute: str, runner: str):
    assert "connection refused" in said(f"--runner={runner}", f"--job_endpoint={closed}")
    assert "speaks no gRPC" in said(f"--runner={runner}", f"--job_endpoint={mute}")
    assert "no machine of the name" in said(f"--runner={runner}", "--job_endpoint=nowhere.invalid:8099")
    assert "HOST:PORT" in said(f"--runner={runner}", "--job_endpoint=8099")


def test_a_portable_runner_without_a_server_names_the_option():
    assert "needs --job_endpoint=HOST:PORT" in said("--runner=PortableRunner")


@pytest.mark.parametrize("kind", ["flink", "spark"])
def test_what_a_job_server_of_java_lacks_is_named(kind: str, closed: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    runner = f"--runner={kind.capitalize()}Runner"
    monkeypatch.setattr(reach.shutil, "which", lambda _: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "needs Java" in said(runner)
    monkeypatch.setattr(reach.shutil, "which", lambda _: "/usr/bin/java")
    monkeypatch.setattr(reach, "unreachable", lambda *_: "no network")
    assert f"--{kind}_job_server_jar=FILE" in said(runner, f"--jar_cache_dir={tmp_path}")
    assert "there is no file" in said(runner, f"--{kind}_job_server_jar={tmp_path / 'x.jar'}")


def test_a_flink_master_that_does_not_answer_is_named(closed: str):
    assert f"--flink_master: nobody answers at {closed}" in said("--runner=FlinkRunner", f"--flink_master={closed}")


def test_dataflow_names_the_extra_or_the_options_that_it_lacks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reach.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"gristmill\[gcp\]"):
        reach.refuse_what_cannot_run(("--runner=DataflowRunner",))
    monkeypatch.setattr(reach.importlib.util, "find_spec", lambda _: object())
    assert "--project, --region, --temp_location" in said("--runner=DataflowRunner")


def test_the_command_line_ends_with_2_and_one_line(tmp_path, closed: str, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    beam = ["--runner=PortableRunner", f"--job_endpoint={closed}"]
    with pytest.raises(SystemExit) as left:
        cli.main(["extract", str(tmp_path / "a.jsonl"), "--workspace", str(tmp_path / "w"), "--", *beam])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: --job_endpoint: ")


class _Narrower(RequestError):
    pass


TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    raise it\n'


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("{t}gristmill.corpus.store.errors.RequestError: no [while running 'fit-ptransform-3']\n", RequestError, "no"),
        (
            "{t}ValueError: x\n\nDuring handling of it\n\n{t}a.WorkspaceError: y [while running 'fit']",
            WorkspaceError,
            "y",
        ),
        ("{t}RequestError: one\ntwo\nthree [while running 'fit']", RequestError, "one\ntwo\nthree"),
        ("{t}RequestError: one\n\nDuring handling of\n{t}RuntimeError: x [while running 'a']", RequestError, "one"),
        ("{t}a.b._Narrower: of a kind of its own [while running 'fit']", RequestError, "of a kind of its own"),
        ("RuntimeError: {t}RequestError: wrapped [while running 'fit'] [while running 'b']", RequestError, "wrapped"),
        (
            "Pipeline failed: {q}MissingExtra: x is not installed [while running 'fit']\\n",
            RequestError,
            "x is not installed",
        ),
    ],
)
def test_a_refusal_that_comes_back_as_text_is_the_sentence_alone(text: str, kind: type, told: str):
    found = refusal_in(RuntimeError(text.format(t=TRACE, q=TRACE.replace("\n", "\\n"))))
    assert type(found) is kind
    assert str(found) == told


@pytest.mark.parametrize("text", ["a defect", f"{TRACE}ValueError: RequestError without a place"])
def test_a_defect_that_comes_back_as_text_is_no_refusal(text: str):
    assert refusal_in(RuntimeError(text)) is None


def test_an_engine_that_went_away_is_told_in_one_sentence():
    pytest.importorskip("distributed")
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    for error in (CommClosedError("in <TCP>"), KilledWorker("task", None, 3)):  # type: ignore[arg-type]
        told = lost_engine(error)
        assert isinstance(told, WorkspaceError)
        assert "what was finished stays" in str(told)
    assert lost_engine(OSError("no file")) is None
