"""Faults under a run on Dask: equal tables, or a clear end after which the same command completes.

Each worker is a node of its own: a network namespace with a link to a bridge, and the workspace on the shared disk. A
keeper starts a new worker where one is gone, as a batch system does. Faults: a worker killed, a node stopped for half a
minute, a link cut as long, scratch that is full, the driver killed, workers at the end of their wall time. Every run
must end within its time with the files of a run without faults, if need be by the same command again, and what a
command prints in between may hold no traceback. Needs root and `ip`; elsewhere it counts as skipped.

python -m benchmarks.engine_faults [--runs 20] [--faults worker,link]
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.engines import PYTHON, contents, settings, write_input

NODES, AWAY, LONG = 2, 30.0, 600.0
BRIDGE, NETWORK = "gmfault0", "10.213.7"


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


class Nodes:
    """A bridge, a scheduler on it, and workers in namespaces of their own which are started again where they end."""

    def __init__(self, folder: Path, scratch: str | None = None, lifetime: int | None = None) -> None:
        self.folder, self.scratch, self.lifetime = folder, scratch, lifetime
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self.address = f"tcp://{NETWORK}.1:18786"

    def __enter__(self) -> "Nodes":
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for node in range(NODES):
            space, here, there = f"gmnode{node}", f"gmh{node}", f"gmn{node}"
            ip("netns", "add", space)
            ip("link", "add", here, "type", "veth", "peer", "name", there)
            ip("link", "set", there, "netns", space)
            ip("link", "set", here, "master", BRIDGE, "up")
            ip("netns", "exec", space, "ip", "addr", "add", f"{NETWORK}.{10 + node}/24", "dev", there)
            ip("netns", "exec", space, "ip", "link", "set", there, "up")
            ip("netns", "exec", space, "ip", "link", "set", "lo", "up")
        self.scheduler = subprocess.Popen(
            [*PYTHON, "dask", "scheduler", "--host", f"{NETWORK}.1", "--port", "18786", "--no-dashboard"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.keeper = threading.Thread(target=self._keep, daemon=True)
        self.keeper.start()
        return self

    def _keep(self) -> None:
        """A worker on every node, a new one where it ended."""
        while not self._ended.wait(1):
            for node in range(NODES):
                held = self.processes.get(node)
                if held is None or held.poll() is not None:
                    self.processes[node] = self._worker(node)

    def _worker(self, node: int) -> subprocess.Popen[bytes]:
        command = ["ip", "netns", "exec", f"gmnode{node}", *PYTHON, "dask", "worker", self.address, "--nthreads", "1",
                   "--no-dashboard", "--no-nanny", "--death-timeout", "120", "--host", f"{NETWORK}.{10 + node}",
                   "--local-directory", str(self.folder)]  # fmt: skip
        if self.lifetime is not None:
            command += ["--lifetime", f"{self.lifetime}s", "--lifetime-stagger", "3s"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "120s",
                       **({"TMPDIR": self.scratch} if self.scratch else {})}  # fmt: skip
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def signal(self, node: int, number: int) -> None:
        """Send a signal to the worker of a node."""
        held = self.processes.get(node)
        if held is not None and held.poll() is None:
            os.killpg(held.pid, number)

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.keeper.join()
        for node in range(NODES):
            self.signal(node, signal.SIGCONT)
            self.signal(node, signal.SIGKILL)
        self.scheduler.kill()
        self.scheduler.wait()
        for node in range(NODES):
            ip("link", "del", f"gmh{node}", check=False)
            ip("netns", "del", f"gmnode{node}", check=False)
        ip("link", "del", BRIDGE, check=False)


def kill_worker(nodes: Nodes, draw: random.Random, _: subprocess.Popen[str]) -> None:
    nodes.signal(draw.randrange(NODES), signal.SIGKILL)


def stop_node(nodes: Nodes, draw: random.Random, _: subprocess.Popen[str]) -> None:
    node = draw.randrange(NODES)
    nodes.signal(node, signal.SIGSTOP)
    time.sleep(AWAY)
    nodes.signal(node, signal.SIGCONT)


def cut_link(nodes: Nodes, draw: random.Random, _: subprocess.Popen[str]) -> None:
    link = f"gmh{draw.randrange(NODES)}"
    ip("link", "set", link, "down")
    time.sleep(AWAY)
    ip("link", "set", link, "up")


def kill_driver(_: Nodes, __: random.Random, driver: subprocess.Popen[str]) -> None:
    driver.kill()


def nothing(_: Nodes, __: random.Random, ___: subprocess.Popen[str]) -> None:
    """What goes wrong is how the nodes are: no room for scratch, or a short time to live."""


FAULTS: dict[str, Callable[[Nodes, random.Random, subprocess.Popen[str]], None]] = {
    "worker": kill_worker,
    "node": stop_node,
    "link": cut_link,
    "scratch": nothing,
    "driver": kill_driver,
    "time": nothing,
}


def run(path: Path, address: str, fault: Callable[[subprocess.Popen[str]], None] | None) -> tuple[int, str]:
    """(exit code, what was said) of the command, with a fault in the middle."""
    cluster = path.with_name("dask.yaml")
    cluster.write_text(yaml.safe_dump({"kind": "dask", "address": address}))
    command = [*PYTHON, "gristmill.pipelines.cli", "run", str(path), "--cluster", str(cluster)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if fault is not None:
        fault(driver)
    try:
        said = driver.communicate(timeout=LONG)[1]
    except subprocess.TimeoutExpired:
        driver.kill()
        return -1, "it did not end in its time"
    return driver.returncode, said


def one(folder: Path, name: str, draw: random.Random, whole: dict[str, str], took: float) -> str:
    """How a run with a fault ended: `equal`, `equal after the same command again`, or what was wrong."""
    workspace = folder / f"w-{uuid.uuid4().hex[:8]}"
    path = settings(folder, workspace)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    full = name == "scratch"
    if full:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(scratch)], check=True)
    try:
        with Nodes(folder, str(scratch) if full else None, 15 if name == "time" else None) as nodes:

            def fault(driver: subprocess.Popen[str]) -> None:
                time.sleep(draw.uniform(0.2, 0.9) * took)
                FAULTS[name](nodes, draw, driver)

            code, said = run(path, nodes.address, fault)
        ending = "equal"
        if code != 0:
            if code == -1 or (code != -signal.SIGKILL and "Traceback" in said):
                return f"exit {code}: {said[-300:]}"
            ending = "equal after the same command again"
            with Nodes(folder) as nodes:
                code, said = run(path, nodes.address, None)
            if code:
                return f"the same command again: exit {code}: {said[-300:]}"
    finally:
        if full:
            subprocess.run(["umount", str(scratch)], check=False)
    same = contents(workspace) == whole
    shutil.rmtree(workspace)
    return ending if same else "other tables"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--documents", type=int, default=1200)
    parser.add_argument("--faults", default=",".join(FAULTS), help="those to try, with commas between")
    asked = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("skipped: network namespaces need root and ip")
        sys.exit(77)
    wrong = 0
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        write_input(folder / "in", asked.documents)
        path = settings(folder, folder / "whole")
        with Nodes(folder) as nodes:
            began = time.monotonic()
            code, said = run(path, nodes.address, None)
            took = time.monotonic() - began
        if code:
            raise SystemExit(f"without a fault: exit {code}: {said}")
        whole = contents(folder / "whole")
        print(f"without a fault: {took:.1f} s, {len(whole)} files", flush=True)
        for name in asked.faults.split(","):
            draw = random.Random(name)
            ended = Counter(one(folder, name, draw, whole, took) for _ in range(asked.runs))
            print(f"{name:<8} " + "; ".join(f"{count} {how}" for how, count in ended.most_common()), flush=True)
            wrong += sum(count for how, count in ended.items() if not how.startswith("equal"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
