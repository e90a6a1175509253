"""Runners behind Beam's portable job API: Prism, where its server is at hand, and what no graph may ask of any."""

import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.pipelines.engine import stage
from gristmill.pipelines.engine.step import Step

from ..road import ENVIRONMENT, contents, done, gristmill, write_settings
from ..short_road import walk

CLOSURE = 300_000  # bytes of one step as it travels
ELEMENT = 1_000_000  # bytes of one element on a small corpus; a runner takes 10 MB
SERVER = os.environ.get("GRISTMILL_PRISM", "")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def listening(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until, "the server does not listen"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def prism(tmp_path_factory) -> Iterator[list[str]]:
    """Beam's options for a Prism of this machine with a pool of Python workers beside it."""
    if not SERVER:
        pytest.skip("GRISTMILL_PRISM names no Prism, the job server of Beam")
    job, pool = free_port(), free_port()
    folder = tmp_path_factory.mktemp("prism")
    with open(folder / "log", "wb") as log:
        started = [
            subprocess.Popen([SERVER, f"-job_port={job}", "-serve_http=false"], stdout=log, stderr=log),
            subprocess.Popen(
                [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
                env=ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # it calls `python`
                stdout=log, stderr=log,
            ),
        ]  # fmt: skip
        try:
            listening(job)
            listening(pool)
            yield [
                "--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{job}", "--environment_type=EXTERNAL",
                f"--environment_config=127.0.0.1:{pool}",
            ]  # fmt: skip
        finally:
            for process in started:
                process.terminate()
                process.wait()


@pytest.mark.slow
def test_prism_gives_the_tables_of_one_process(prism, tmp_path):
    settings = write_settings(tmp_path, tmp_path / "alone", stop_after="dedup")
    done("run", settings)
    there = write_settings(tmp_path, tmp_path / "prism", stop_after="dedup")
    done("run", there, "--", *prism)
    assert contents(tmp_path / "prism") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_a_refusal_of_a_worker_of_prism_is_one_line(prism, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "plugin.py").write_text(
        "from gristmill.corpus.store.errors import RequestError\n"
        "from gristmill.pipelines.engine.graph import commit, run_once\n"
        "from gristmill.pipelines.engine.record import StageRecord\n"
        "from gristmill.pipelines.engine.stage import Stage\n"
        "from pydantic import BaseModel\n\n\n"
        "class NoSettings(BaseModel, frozen=True):\n    pass\n\n\n"
        "def fail(_, plan):\n    raise RequestError('this cannot be had')\n    yield\n\n\n"
        "RUN = Stage('failing', 1, ('nothing',), lambda space, settings: {},\n"
        "            lambda pipeline, plan: commit(run_once(pipeline, 'fit', fail, plan), plan))\n"
        "STAGES = {'failing': StageRecord('failing', 'Fails.', 'gristmill failing', NoSettings, RUN)}\n"
    )
    for beam in ([], prism):
        more = ["--", *beam] if beam else []
        ended = gristmill("failing", "--workspace", tmp_path / "w", "--plugin", tmp_path / "plugin.py", *more)
        assert ended.returncode == 2, ended.stderr
        assert ended.stderr.strip().splitlines()[-1] == "error: this cannot be had"
        assert "while running" not in ended.stderr


@pytest.mark.slow
def test_no_step_and_no_element_of_a_graph_is_larger_than_a_runner_takes(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Over the road of the stages that decide without a model, and tokens."""
    closures: dict[str, int] = {}
    elements: dict[str, int] = {}
    run_graph, call = stage.run_graph, Step.process

    def built(build, options):
        def watched(pipeline):
            made = build(pipeline)
            for transform in pipeline.to_runner_api().components.transforms.values():
                size = len(transform.spec.payload)
                closures[transform.unique_name] = max(size, closures.get(transform.unique_name, 0))
            return made

        return run_graph(watched, options)

    def measured(self, element):
        for out in call(self, element):
            name = self.function.__qualname__
            elements[name] = max(len(pickle.dumps(out)), elements.get(name, 0))
            yield out

    monkeypatch.setattr(stage, "run_graph", built)
    monkeypatch.setattr(Step, "process", measured)
    walk(Path(tmp_path))
    assert len(closures) > 20
    assert {name: size for name, size in closures.items() if size > CLOSURE} == {}
    assert {name: size for name, size in elements.items() if size > ELEMENT} == {}
