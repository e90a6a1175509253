"""The workers of a cluster while this process lasts: started at the first graph, shared by all, ended with it.

A thread watches that they come: jobs that end one after the other without a worker, and a first worker that does not
come in the time allowed, end the run with what their logs say. How many are at work is told beside the progress.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ...corpus.store.errors import RequestError
from . import batch, pods
from .reach import identity, reach_scheduler, scheduler_in
from .settings import BatchCluster, BeamCluster, Cluster, DaskCluster, KubernetesCluster, LocalCluster

IN_VAIN = 3  # jobs that end one after the other without a worker
EVERY = 2.0  # seconds between two looks
_sessions: dict[str, "Session"] = {}


class Session:
    """A running cluster.

    cluster  what dask-jobqueue or dask-kubernetes made
    ended    () -> exit codes of the jobs that ended so far
    words    () -> the last words of one of them
    """

    def __init__(
        self, cluster: Any, wait: int, ended: Callable[[], list[int]] = list, words: Callable[[], str] = str
    ) -> None:
        self.cluster, self.wait, self.ended, self.words = cluster, wait, ended, words
        self.failure: str | None = None
        self._began, self._seen, self._closed = time.monotonic(), False, threading.Event()
        self._before = 0  # jobs that had ended when a worker was there last
        threading.Thread(target=self._watch, name="workers", daemon=True).start()

    @property
    def address(self) -> str:
        return str(self.cluster.scheduler_address)

    def workers(self) -> int:
        """Workers that are at work now."""
        scheduler = getattr(self.cluster, "scheduler", None)
        held = getattr(scheduler, "workers", None)
        return len(held if held is not None else self.cluster.scheduler_info.get("workers", ()))

    def look(self) -> str | None:
        """Why no worker can be expected any more; None while one may yet come."""
        if self.workers():
            self._seen, self._before = True, len(self.ended())
            return None
        in_vain = self.ended()[self._before :]
        if len(in_vain) >= IN_VAIN:
            return (
                f"{len(in_vain)} jobs ended (exit {in_vain[-1]}) and no worker came; the last words of one, in "
                f"{self.words()}"
            )
        if self.wait and not self._seen and time.monotonic() - self._began > self.wait:
            return f"no worker came within {self.wait} seconds (wait: {self.wait}); look at the queue, or give it more"
        return None

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            self.failure = self.look()
            if self.failure is not None:
                self.cluster.close()  # what waits for its workers is told that they are gone
                return

    def close(self) -> None:
        """End the workers and the scheduler."""
        self._closed.set()
        if self.failure is None:
            self.cluster.close()


def options_of(cluster: Cluster) -> tuple[int, tuple[str, ...]]:
    """(local workers, Beam's options) by which a graph reaches the cluster; its workers are started for the first."""
    if isinstance(cluster, LocalCluster):
        return cluster.workers, ()
    if isinstance(cluster, BeamCluster):
        return 1, cluster.options
    if isinstance(cluster, DaskCluster):
        address = cluster.address or scheduler_in(str(cluster.scheduler_file))
        reach_scheduler(address, "kind: dask")
        return 1, ("--runner=DaskRunner", f"--dask_client_address={address}")
    session = opened(cluster)
    if session.failure is not None:
        raise RequestError(session.failure)
    return 1, ("--runner=DaskRunner", f"--dask_client_address={session.address}")


def opened(cluster: BatchCluster | KubernetesCluster) -> Session:
    """The session of a cluster, started where there is none yet."""
    key = cluster.model_dump_json()
    if key not in _sessions:
        import dask

        logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells of every connection
        dask.config.set({"distributed.scheduler.allowed-failures": 20})  # workers go: at wall time, for others' jobs
        dask.config.set({"distributed.comm.timeouts.tcp": "120s", "distributed.comm.timeouts.connect": "60s"})
        if not _sessions:
            atexit.register(close_all)
        if isinstance(cluster, BatchCluster):
            logs = batch.log_folder(cluster)
            made = batch.start(cluster, logs)
            _sessions[key] = Session(
                made, cluster.wait, lambda: batch.ended_in(logs), lambda: batch.last_words(logs)
            )  # fmt: skip
        else:
            _sessions[key] = Session(pods.start(cluster), cluster.wait)
    return _sessions[key]


def close_all() -> None:
    """End the workers of every cluster that this process started."""
    while _sessions:
        _sessions.popitem()[1].close()


def failure() -> str | None:
    """Why the workers of a cluster were given up; None where they were not."""
    return next((session.failure for session in _sessions.values() if session.failure), None)


def at_work() -> str:
    """How many workers there are, for the line of progress; nothing where this process started none."""
    if not _sessions:
        return ""
    count = sum(session.workers() for session in _sessions.values())
    return f"{count} worker{'' if count == 1 else 's'}" if count else "waiting for workers"


def workers_at(address: str) -> int:
    """Workers of a Dask scheduler that runs elsewhere."""
    return len(identity(address).get("workers", ()))
