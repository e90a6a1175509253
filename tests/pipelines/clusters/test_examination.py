"""Each fault of a cluster is one line with what to do."""

import json
import os
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from gristmill.corpus import processors
from gristmill.corpus.settings import Input
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.clusters import probe
from gristmill.pipelines.clusters.examination import CheckSettings, check_cluster, findings, notes
from gristmill.pipelines.clusters.settings import cluster_of

ASKED = CheckSettings(inputs=("s3://crawl/a",), read="W/unfinished/here", write="W/unfinished/there-")
GOOD: dict[str, Any] = {
    "host": "node1", "pid": 1, "python": "3.11.7", "code": "c0de", "time": 1000.0, "sets": ["x86_64", "avx2"],
    "versions": {"gristmill": "0.1.0", "apache-beam": "2.77.0", "numpy": "2.4.0"},
    "plugins": {"gristmill.signals:a": "1"}, "scratch": ["/tmp", 10**11], "inputs": {}, "read": None, "write": None,
}  # fmt: skip


def worker(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(GOOD), "host": "node2", **changes}


def test_a_worker_that_is_as_this_machine_has_no_fault():
    assert findings(GOOD, [worker(), worker(pid=2)], ASKED) == []


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"python": "3.12.1"}, "Python 3.12.1 there, 3.11.7 here"),
        ({"code": None}, "cannot import gristmill; install it there"),
        ({"code": "0ther"}, "the files of gristmill are not those that are here"),
        ({"versions": {**GOOD["versions"], "numpy": "1.26"}}, "pip install numpy==2.4.0"),
        ({"versions": {**GOOD["versions"], "apache-beam": None}}, "apache-beam none there"),
        ({"versions": {**GOOD["versions"], "gristmill": "0.0.9"}, "code": "0ld"}, "pip install gristmill==0.1.0"),
        ({"plugins": {}}, "the plug-in gristmill.signals:a is not installed there"),
        ({"plugins": {"gristmill.signals:a": "ImportError: no"}}, "is ImportError: no there"),
        ({"time": 5000.0}, "its clock is +4000 seconds off"),
        ({"time": -600.0}, "its clock is -1600 seconds off"),
        ({"inputs": {"s3://crawl/a": "NoCredentialsError: none"}}, "the input s3://crawl/a cannot be read from there"),
        ({"read": "FileNotFoundError: x"}, "the workspace cannot be read from there"),
        ({"write": "PermissionError: x"}, "nothing can be written to the workspace from there"),
        ({"scratch": ["/tmp", 10**8]}, "0.1 GB are free in /tmp"),
    ],
)
def test_each_fault_is_one_line_for_the_machine_that_has_it(changes: dict[str, Any], right: str):
    (line,) = findings(GOOD, [worker(**changes), worker(pid=7, **changes), {**worker(), "host": "node3"}], ASKED)
    assert line.startswith("node2: ")
    assert right in line
    assert "\n" not in line


def test_an_input_that_nobody_can_read_is_no_fault_of_the_worker():
    gone = {"inputs": {"s3://crawl/a": "FileNotFoundError: a"}}
    (line,) = findings({**GOOD, **gone}, [worker(**gone)], ASKED)
    assert "neither here nor on node2" in line


def test_processors_of_several_kinds_are_a_note():
    assert notes([worker(), worker(host="node3")]) == []
    (note,) = notes([worker(), worker(host="node3", sets=["x86_64", "avx2", "avx512f"])])
    assert "node3: x86_64 avx2 avx512f" in note


def test_what_a_worker_says_of_itself_passes_as_text(tmp_path):
    (tmp_path / "in").write_text("x")
    space: dict[str, Any] = {"__name__": "probe"}
    exec(Path(processors.__file__).read_text() + Path(probe.__file__).read_text(), space)
    files = [str(tmp_path / "in"), str(tmp_path / "gone")]
    told = space["facts"](files, str(tmp_path / "in"), f"{tmp_path}/out-", space["instruction_sets"]())
    assert told["sets"] == processors.instruction_sets()
    assert list(told["inputs"]) == [str(tmp_path / "gone")]
    assert told["write"] is None
    assert json.loads(json.dumps(told)) == told
    assert told["code"] == probe.code()


def test_every_verb_runs_on_local_workers_and_nothing_is_left(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    found = check_cluster(
        cluster_of({"kind": "local"}, "c"), Workspace(str(tmp_path / "w")), [Input(paths=(str(tmp_path / "a.jsonl"),))]
    )
    assert found["faults"] == []
    assert found["workers"] == 1
    left = [path.name for path in (tmp_path / "w").rglob("*") if path.is_file()]
    assert left == ["lease.json"]


@pytest.fixture
def dask(tmp_path):
    """A scheduler and two worker processes of it: the file with its address, and the processes."""
    pytest.importorskip("distributed")
    address = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(address), "--no-dashboard"]

    def start(*part: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *part, *common], env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip

    started = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        yield address, start, started
    finally:
        for process in started:
            process.kill()
            process.wait()


def check(address: Path, folder: Path) -> dict[str, Any]:
    until = time.monotonic() + 60
    while not address.exists() and time.monotonic() < until:
        time.sleep(0.1)
    cluster = cluster_of({"kind": "dask", "scheduler_file": str(address)}, "c")
    return check_cluster(cluster, Workspace(str(folder / "w")), seconds=30)


@pytest.mark.slow
def test_a_dask_cluster_of_processes_passes_and_its_faults_are_told(dask, tmp_path):
    address, start, started = dask
    for _ in range(2):
        started.append(start("worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"))
    found = check(address, tmp_path)
    assert found["faults"] == []
    assert found["workers"] in (1, 2)  # the second may come later
    started.append(start("worker", "--host", "127.0.0.1", "--nthreads", "3", "--no-nanny"))
    until = time.monotonic() + 60
    while not any("--nthreads 1 and --nworkers 3" in fault for fault in check(address, tmp_path)["faults"]):
        assert time.monotonic() < until


@pytest.mark.slow
def test_workers_without_gristmill_are_told_so_and_no_graph_is_sent(dask, tmp_path):
    address, start, started = dask
    (tmp_path / "elsewhere" / "gristmill").mkdir(parents=True)
    (tmp_path / "elsewhere" / "gristmill" / "__init__.py").write_text("")
    (tmp_path / "elsewhere" / "sitecustomize.py").write_text(  # an installation in place finds its rooms by itself
        "import sys\nsys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in str(one).lower()]\n"
    )
    changed = {"PYTHONPATH": str(tmp_path / "elsewhere")}
    started.append(start("worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", **changed))
    found = check(address, tmp_path)
    assert any("cannot import gristmill" in fault for fault in found["faults"])


@pytest.mark.slow
def test_a_cluster_without_workers_is_told_so(dask, tmp_path):
    address, _, _ = dask
    until = time.monotonic() + 60
    while not address.exists() and time.monotonic() < until:
        time.sleep(0.1)
    cluster = cluster_of({"kind": "dask", "scheduler_file": str(address)}, "c")
    found = check_cluster(cluster, Workspace(str(tmp_path / "w")), graphs=False, seconds=2)
    assert "no worker came within 2 seconds" in found["faults"][0]


def test_a_cluster_that_cannot_be_reached_is_refused(tmp_path):
    cluster = cluster_of({"kind": "dask", "scheduler_file": str(tmp_path / "none.json")}, "c")
    with pytest.raises(RequestError, match="there is no file"):
        check_cluster(cluster, Workspace(str(tmp_path / "w")))
