"""Workers as jobs of Slurm, PBS, LSF or SGE: what dask-jobqueue is asked for, and what is heard of jobs that end.

Every job says in a file when it ends and how, whatever the batch system: so jobs that never bring a worker are told
with the last words of their log, where otherwise new ones would be submitted for ever.
"""

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ...corpus.store.errors import MissingExtra, RequestError
from .settings import BatchCluster, bytes_of, clock, seconds_of

SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}
CANCEL = {"slurm": "scancel", "pbs": "qdel", "lsf": "bkill", "sge": "qdel"}
ENDED = "ended-"  # files in which jobs say that they ended, and how
PATIENT = {  # a link that is away for half a minute ends no worker
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "120s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s",
}


def log_folder(cluster: BatchCluster) -> str:
    """A folder of its own for the logs of one run's jobs, as an absolute path."""
    began = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return os.path.join(os.path.abspath(cluster.logs), f"{cluster.name}-{began}-{uuid.uuid4().hex[:6]}")


def job_arguments(cluster: BatchCluster, logs: str) -> dict[str, Any]:
    """What the cluster class of dask-jobqueue is called with."""
    lifetime, stagger = cluster.lifetime
    cores = cluster.cores * cluster.per_job
    memory = bytes_of(cluster.memory) * cluster.per_job
    said = {
        "cores": cluster.per_job,  # a worker process has one thread: the work of a stage is not for threads
        "processes": cluster.per_job,
        "memory": f"{memory}B",
        "job_name": cluster.name,
        "queue": cluster.queue,
        "interface": cluster.interface,
        "local_directory": cluster.scratch,
        "log_directory": logs,
        "python": cluster.python,
        "death_timeout": 120,
        "worker_extra_args": ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"],
        "job_script_prologue": prologue(cluster, logs),
        "job_extra_directives": list(cluster.directives),
        "scheduler_options": {"dashboard": False, **({"interface": cluster.interface} if cluster.interface else {})},
    }
    whole = clock(seconds_of(cluster.wall_time))
    if cluster.kind == "slurm":
        said |= {"walltime": whole, "account": cluster.account, "job_cpu": cores}
    elif cluster.kind == "pbs":
        size = f"{-(-memory // 1_000_000)}MB"
        said |= {"walltime": whole, "account": cluster.account, "resource_spec": f"select=1:ncpus={cores}:mem={size}"}
    elif cluster.kind == "lsf":
        said |= {"walltime": whole[:-3], "project": cluster.account, "ncpus": cores, "mem": memory}
    else:
        said |= {"walltime": whole, "project": cluster.account}
    return said


def prologue(cluster: BatchCluster, logs: str) -> list[str]:
    """Shell lines before the worker starts. What a job says of its end is left to a trap."""
    threads = {name: str(cluster.cores) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    given = {**threads, **PATIENT, **cluster.environment}
    ended = shlex.quote(os.path.join(logs, ENDED))
    return [
        f"trap 'echo $? > {ended}$(hostname)-$$' EXIT",
        *cluster.setup,
        *(f"export {name}={shlex.quote(value)}" for name, value in given.items()),
    ]


def cluster_class(kind: str) -> Any:
    """The class of dask-jobqueue. MissingExtra where it is not installed."""
    try:
        import dask_jobqueue
    except ImportError:
        raise MissingExtra("dask-jobqueue", "slurm") from None
    return {
        "slurm": dask_jobqueue.SLURMCluster,
        "pbs": dask_jobqueue.PBSCluster,
        "lsf": dask_jobqueue.LSFCluster,
        "sge": dask_jobqueue.SGECluster,
    }[kind]


def job_script(cluster: BatchCluster) -> str:
    """The script of one job of workers, as it would be submitted; the scheduler's address is known only then."""
    kind = cluster_class(cluster.kind)
    said = job_arguments(cluster, os.path.join(os.path.abspath(cluster.logs), cluster.name))
    said.pop("scheduler_options")
    job = kind.job_cls("tcp://SCHEDULER:PORT", name="worker", **said)
    return str(job.job_script())


def start(cluster: BatchCluster, logs: str) -> Any:
    """A scheduler in this process whose workers are jobs, between the least and the most.

    RequestError where the batch system is not here or does not take such a job.
    """
    refuse_without(cluster.kind)
    made = cluster_class(cluster.kind)(**job_arguments(cluster, logs))
    try:
        if cluster.kind == "slurm":
            tried_out(made.job_script())
        made.adapt(
            minimum_jobs=cluster.least_jobs, maximum_jobs=cluster.most_jobs, interval="2s", wait_count=5,
            target_duration="10s",
        )  # fmt: skip
    except BaseException:
        made.close()
        raise
    return made


def refuse_without(kind: str) -> None:
    """RequestError where the command is missing by which jobs are submitted."""
    if shutil.which(SUBMIT[kind]) is None:
        raise RequestError(
            f"kind: {kind}: there is no {SUBMIT[kind]} on this machine; run this where jobs are submitted from, or "
            f"name another kind"
        )


def tried_out(script: str) -> None:
    """RequestError with Slurm's words where it would not take the script."""
    done = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise RequestError(f"kind: slurm: Slurm does not take the job: {words_of(done.stderr)}")


def words_of(text: str) -> str:
    """What a batch system said, on one line."""
    lines = [
        line.replace("sbatch: error:", "").replace("allocation failure:", "").strip() for line in text.splitlines()
    ]
    return "; ".join(line for line in lines if line)[-400:] or "it did not say why"


def ended_in(logs: str) -> list[int]:
    """Exit codes of the jobs that said that they ended."""
    found = []
    for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else ():
        if name.startswith(ENDED):
            with open(os.path.join(logs, name), encoding="utf-8") as file:
                said = file.read().strip()
            found.append(int(said) if said.lstrip("-").isdigit() else 1)
    return found


def last_words(logs: str, lines: int = 3) -> str:
    """The end of the newest log of a job that said something."""
    files = [os.path.join(logs, name) for name in os.listdir(logs) if not name.startswith(ENDED)]
    for path in sorted(files, key=os.path.getmtime, reverse=True):
        with open(path, encoding="utf-8", errors="replace") as file:
            said = [line.strip() for line in file if line.strip()]
        if said:
            return f"{path}: {' / '.join(_telling(said)[-lines:])[-400:]}"
    return f"{logs}: nothing was logged"


def _telling(lines: Sequence[str]) -> list[str]:
    """Lines that tell of an error, where there are some; else all."""
    return [line for line in lines if "rror" in line or "not found" in line or "denied" in line] or list(lines)
