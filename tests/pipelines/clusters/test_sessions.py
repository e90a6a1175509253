"""Workers that do not come are told, and not waited for or asked for again for ever."""

from types import SimpleNamespace

import pytest

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.pipelines.clusters import sessions
from gristmill.pipelines.clusters.sessions import Session
from gristmill.pipelines.clusters.settings import cluster_of
from gristmill.pipelines.engine import runner
from gristmill.pipelines.engine.runner import RunnerOptions, run_graph


class Cluster:
    """What dask-jobqueue would have made."""

    def __init__(self) -> None:
        self.scheduler = SimpleNamespace(workers={})
        self.scheduler_address = "tcp://here:1"
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(sessions, "EVERY", 1e6)  # looks are asked for
    return Cluster()


def test_jobs_that_end_one_after_the_other_without_a_worker_end_the_wait(cluster: Cluster):
    ended: list[int] = []
    session = Session(cluster, 0, lambda: ended, lambda: "log: no such python")
    assert session.look() is None
    ended += [127, 127]
    assert session.look() is None
    ended.append(126)
    told = session.look()
    assert told is not None
    assert "3 jobs ended (exit 126) and no worker came" in told
    assert "no such python" in told


def test_jobs_that_end_while_others_work_are_no_failure(cluster: Cluster):
    ended = [0, 0, 0, 0, 0]
    session = Session(cluster, 0, lambda: ended)
    cluster.scheduler.workers["a"] = 1
    assert session.look() is None
    cluster.scheduler.workers.clear()
    ended += [0, 0]  # at the end of their wall time
    assert session.look() is None
    ended.append(1)
    assert session.look() is not None


def test_a_first_worker_that_does_not_come_in_time_is_told(cluster: Cluster):
    session = Session(cluster, 1, list)
    session._began -= 5
    assert "no worker came within 1 seconds" in str(session.look())
    cluster.scheduler.workers["a"] = 1
    assert session.look() is None
    cluster.scheduler.workers.clear()
    assert session.look() is None  # once one was there, the queue may take its time


def test_how_many_are_at_work_is_told_beside_the_progress(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "_sessions", {})
    assert sessions.at_work() == ""
    sessions._sessions["x"] = Session(cluster, 0, list)
    assert sessions.at_work() == "waiting for workers"
    cluster.scheduler.workers["a"] = 1
    assert sessions.at_work() == "1 worker"
    sessions.close_all()
    assert cluster.closed == 1


def test_a_graph_whose_workers_were_given_up_ends_with_why(monkeypatch: pytest.MonkeyPatch):
    engine = cluster_of({"kind": "local"}, "c")
    monkeypatch.setattr(runner, "_given_up", lambda: "3 jobs ended and no worker came")

    def build(pipeline):
        from gristmill.pipelines.engine.beam import beam

        def fail(_: int) -> int:
            raise ValueError("cancelled")

        return pipeline | beam.Create([1]) | beam.Map(fail)

    with pytest.raises(WorkspaceError, match=r"^3 jobs ended and no worker came$"):
        run_graph(build, RunnerOptions(cluster=engine))


def test_a_cluster_and_options_behind_the_dashes_are_not_taken_together():
    engine = cluster_of({"kind": "local"}, "c")
    with pytest.raises(RequestError, match="two engines"):
        run_graph(lambda pipeline: None, RunnerOptions(cluster=engine, beam=("--runner=DaskRunner",)))


def test_a_batch_system_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch):
    from gristmill.pipelines.clusters import batch

    monkeypatch.setattr(batch.shutil, "which", lambda _: None)
    for kind, command in batch.SUBMIT.items():
        with pytest.raises(RequestError, match=f"there is no {command} on this machine"):
            batch.refuse_without(kind)
