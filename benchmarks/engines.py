"""One road on every engine that is at hand: are all files equal, what does each take?

Engines: one process, two worker processes, Dask in two processes, jobs of a real Slurm (`.ci/slurm` starts one), and
Prism (`GRISTMILL_PRISM` names its server). The baseline is one process. Every file of the workspace but the catalog
and the places of inputs must be equal. Prints seconds, the memory of all processes of a run at its peak, and the ratio
to the baseline; fails where a file differs. An engine that is not at hand is named as skipped.

python -m benchmarks.engines [--documents 2000] [--engines dask,slurm]
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

MARK = "GRISTMILL_BENCHMARK"  # in the environment of every process of a run, on whichever node
GLUE = "the of and to that with have be is in was for on it as by".split()
LEFT_OUT = ("catalog.duckdb", "plans/", "lease.json")
PYTHON = [sys.executable, "-m"]


def write_input(folder: Path, documents: int) -> None:
    """Files of documents of several lengths, one in twelve a near copy of the one before it."""
    draw = random.Random(5)
    before = ""
    folder.mkdir()
    for number in range(12):
        with open(folder / f"{number:02d}.jsonl", "w", encoding="utf-8") as file:
            for row in range(documents // 12):
                words = [
                    draw.choice(GLUE) if n % 2 else f"w{draw.randrange(4000)}" for n in range(draw.randint(40, 400))
                ]
                text = before.replace("w1", "w2", 1) if row % 12 == 11 else " ".join(words)
                before = text
                file.write(json.dumps({"text": text, "url": f"https://h{row}.example.org/{number}"}) + "\n")


def settings(folder: Path, workspace: Path) -> Path:
    told = {
        "workspace": str(workspace),
        "extract": {"inputs": [{"paths": [str(folder / "in")], "domain": "pages"}], "shard_bytes": 200_000},
        "filter": {"rules": "gopher"},
        "dedup": {"threshold": 0.8},
        "tokenize": {"vocab_size": 1000, "heldout": 0.1},
    }
    path = workspace.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(told, sort_keys=False))
    return path


def contents(workspace: Path) -> dict[str, str]:
    """File -> digest of everything that must be equal."""
    found = {}
    for path in sorted(workspace.rglob("*")):
        name = str(path.relative_to(workspace))
        if path.is_file() and not name.startswith(LEFT_OUT):
            found[name] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    return found


class Memory:
    """The resident memory of all processes that bear a mark, at its peak."""

    def __init__(self, token: str) -> None:
        self.token, self.peak = f"{MARK}={token}".encode(), 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self.peak = max(self.peak, sum(self._resident()))

    def _resident(self) -> Iterator[int]:
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    if self.token in (place / "environ").read_bytes():
                        yield int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                except OSError:
                    continue  # it has just ended


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def started(*commands: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Servers for the block."""
    with ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield


@contextmanager
def engine(name: str, folder: Path, environment: dict[str, str]) -> Iterator[list[str] | None]:
    """What is added to the command for an engine; None where it is not at hand."""
    if name in ("one process", "two processes"):
        yield ["--workers", "1" if name == "one process" else "2"]
    elif name == "dask":
        file = folder / "scheduler.json"
        common = ["--scheduler-file", str(file), "--no-dashboard"]
        scheduler = [*PYTHON, "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *common]
        worker = [*PYTHON, "dask", "worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", *common]
        with started(scheduler, worker, worker, environment=environment):
            while not file.exists():
                time.sleep(0.1)
            (folder / "dask.yaml").write_text(yaml.safe_dump({"kind": "dask", "scheduler_file": str(file)}))
            yield ["--cluster", str(folder / "dask.yaml")]
    elif name == "slurm":
        if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"], capture_output=True).returncode:
            yield None
            return
        told = {"kind": "slurm", "least": 2, "most": 2, "memory": "3GB", "logs": str(folder / "logs")}
        told["environment"] = {k: environment[k] for k in ("PYTHONPATH", "PYTHONSAFEPATH") if k in environment}
        (folder / "slurm.yaml").write_text(yaml.safe_dump(told))
        yield ["--cluster", str(folder / "slurm.yaml")]
    else:
        server = os.environ.get("GRISTMILL_PRISM")
        if not server:
            yield None
            return
        job, pool = free_port(), free_port()
        serving = [server, f"-job_port={job}", "-serve_http=false"]
        workers = [*PYTHON, "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
        with started(serving, workers, environment=environment):
            time.sleep(5)
            yield ["--", "--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{job}",
                   "--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{pool}"]  # fmt: skip


ENGINES = ("one process", "two processes", "dask", "slurm", "prism")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--engines", default=",".join(ENGINES), help="those to run, with commas between")
    asked = parser.parse_args()
    baseline: tuple[dict[str, str], float] | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "in", asked.documents)
        for number, one in enumerate(asked.engines.split(",")):
            token = uuid.uuid4().hex
            environment = {**os.environ, MARK: token, "OMP_NUM_THREADS": "1"}
            path = settings(folder, folder / f"w{number}")
            with engine(one, folder, environment) as more:
                if more is None:
                    print(f"{one:<14} skipped: it is not at hand")
                    continue
                began = time.monotonic()
                with Memory(token) as memory:
                    command = [*PYTHON, "gristmill.pipelines.cli", "run", str(path), *more]
                    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                took = time.monotonic() - began
            if ended.returncode:
                raise SystemExit(f"{one}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
            found = contents(folder / f"w{number}")
            baseline = baseline or (found, took)
            other = sorted(
                name for name in found.keys() | baseline[0].keys() if found.get(name) != baseline[0].get(name)
            )
            print(
                f"{one:<14} {took:7.1f} s ({took / baseline[1]:.2f} of one process), {memory.peak / 1e9:.2f} GB, "
                f"{len(found)} files, {len(other)} of them other than in one process",
                flush=True,
            )
            if other:
                raise SystemExit(f"{one}: {', '.join(other[:5])}")


if __name__ == "__main__":
    main()
