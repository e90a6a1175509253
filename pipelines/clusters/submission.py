"""A run as a job of a batch system: the script of the job, the submission, its end and its beginning again.

The job ends itself before its wall time, by a signal that lets the run give its hold on the workspace back, is queued
again, and goes on where it was. `train` on several nodes is one process of torchrun a node, which find each other by
the address of the first. Refuses a second submission while one of the same name has not ended.
"""

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...corpus.store.errors import RequestError
from .batch import CANCEL, SUBMIT, refuse_without, words_of
from .settings import BatchCluster, Cluster, bytes_of, clock, seconds_of

JOBS, CANCELLED, ENDED, SCRIPT, LOG = "jobs", "cancelled", "ended", "script.sh", "output.log"
BEFORE = 120  # seconds before the end of the wall time at which the work is asked to stop
KILLS = 5  # starts after which a job that is killed outright is not queued again
OUT_OF_MEMORY = "killed each time, most often for want of memory: give it more (driver: memory:) and submit it again"
OF_A_JOB = (
    "SLURM_CPU_BIND SLURM_CPUS_PER_TASK SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE SLURM_TRES_PER_TASK"
)


@dataclass(frozen=True)
class Submission:
    """One thing submitted: its folder holds the script, the log, and the ids of the jobs that it was so far."""

    cluster: BatchCluster
    folder: str

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def jobs(self) -> list[str]:
        """Ids of its jobs, the last of them last."""
        try:
            with open(self.path(JOBS), encoding="utf-8") as file:
                return list(dict.fromkeys(line.strip() for line in file if line.strip()))
        except FileNotFoundError:
            return []

    @property
    def live(self) -> bool:
        """Whether it was submitted and neither ended nor was cancelled."""
        return bool(self.jobs()) and not any(os.path.exists(self.path(name)) for name in (ENDED, CANCELLED))

    def submit(self, script: str) -> str:
        """Hand it in; the id of the job. RequestError where it was submitted already, or with the system's words."""
        refuse_without(self.cluster.kind)
        if self.live:
            raise RequestError(
                f"this was submitted as job {self.jobs()[-1]} and has not ended; its log is {self.path(LOG)}; the same "
                "command with --cancel ends it"
            )
        os.makedirs(self.folder, exist_ok=True)
        for name in (ENDED, CANCELLED, JOBS):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        with open(self.path(SCRIPT), "w", encoding="utf-8") as file:
            file.write(script)
        done = subprocess.run(
            f"{handing_in(self.cluster.kind)} {shlex.quote(self.path(SCRIPT))}", shell=True, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RequestError(f"kind: {self.cluster.kind}: the job was not taken: {words_of(done.stderr)}")
        number = job_id(done.stdout)
        with open(self.path(JOBS), "a", encoding="utf-8") as file:
            file.write(number + "\n")
        return number

    def cancel(self) -> list[str]:
        """End its jobs, and keep it from being queued again. RequestError where there is nothing to end."""
        if not self.jobs():
            raise RequestError(f"nothing was submitted by this command: there is no {self.path(JOBS)}")
        with open(self.path(CANCELLED), "w", encoding="utf-8"):
            pass
        ended = []
        for number in self.jobs():
            done = subprocess.run(
                [CANCEL[self.cluster.kind], number], capture_output=True, text=True, timeout=120, check=False
            )
            if not done.returncode:
                ended.append(number)
        return ended


def job_id(said: str) -> str:
    """The id in what sbatch, qsub or bsub printed."""
    words = said.replace("<", " ").replace(">", " ").split()
    return next((word for word in words if word[:1].isdigit()), words[-1] if words else "?")


def handing_in(kind: str) -> str:
    """The command that takes the path of a script as its last word."""
    return {"slurm": "sbatch --parsable", "lsf": "bsub <"}.get(kind, SUBMIT[kind])


def batch_cluster(cluster: Cluster) -> BatchCluster:
    """The cluster, where it is one that jobs are submitted to. RequestError for any other."""
    if isinstance(cluster, BatchCluster):
        return cluster
    raise RequestError(
        f"kind: {cluster.kind}: only a batch system (slurm, pbs, lsf, sge) takes a run as a job; elsewhere start "
        "`gristmill run FILE --cluster FILE` on a machine that stays"
    )


def submission_of(cluster: Cluster, words: Sequence[str]) -> Submission:
    """The submission that a command line stands for: the same words, the same folder."""
    held = batch_cluster(cluster)
    stem = os.path.splitext(os.path.basename(words[0]))[0] if words else "run"
    digest = hashlib.blake2b("\0".join([os.getcwd(), *words]).encode(), digest_size=4).hexdigest()
    return Submission(held, os.path.join(os.path.abspath(held.logs), f"submitted-{stem}-{digest}"))


def run_script(made: Submission, arguments: Sequence[str]) -> str:
    """The job of a run: `gristmill` with these arguments, again until it has ended."""
    cluster, driver = made.cluster, made.cluster.driver
    header = directives(made, driver.cores, driver.memory, driver.wall_time)
    command = [_python(cluster), "-m", f"{__package__}.driver", *arguments]
    return _script(made, header, _ending(driver.wall_time, shlex.join(command)))


def train_script(made: Submission, arguments: Sequence[str], nodes: int, processes: int) -> str:
    """The job of a training run: on each node `processes` ranks, one a GPU."""
    cluster = made.cluster
    if cluster.kind != "slurm":
        raise RequestError(
            f"kind: {cluster.kind}: training on several nodes is submitted to Slurm alone; elsewhere start torchrun on "
            "each node"
        )
    header = [
        *directives(made, cluster.cores * processes, cluster.memory, cluster.wall_time),
        f"#SBATCH --nodes={nodes}",
        "#SBATCH --ntasks-per-node=1",
    ]
    command = [
        _python(cluster), "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={processes}",
        "--rdzv-backend=c10d", "--rdzv-endpoint=$head:$port", "--rdzv-id=$SLURM_JOB_ID", "--max-restarts=0", "-m",
    ]  # fmt: skip
    words = " ".join(word if "$" in word else shlex.quote(word) for word in command)
    rest = shlex.join([f"{(__package__ or '').rpartition('.')[0]}.cli", *arguments])
    before = [
        'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        'head=$(srun --nodes=1 --ntasks=1 -w "$first" hostname)',
        "port=$((20000 + SLURM_JOB_ID % 20000))",
    ]
    srun = f"srun --kill-on-bad-exit=1 --nodes={nodes} --ntasks-per-node=1 --cpus-per-task={cluster.cores * processes}"
    return _script(made, header, [*before, *_ending(cluster.wall_time, f"{srun} {words} {rest}")])


def directives(made: Submission, cores: int, memory: str, wall_time: str) -> list[str]:
    """The lines by which the batch system reads what a job needs."""
    cluster, log, whole = made.cluster, made.path(LOG), clock(seconds_of(wall_time))
    size = -(-bytes_of(memory) // 1_000_000)
    lines: Iterator[str | None]
    if cluster.kind == "slurm":
        lines = iter((
            f"-J {cluster.name}", f"-p {cluster.queue}" if cluster.queue else None,
            f"-A {cluster.account}" if cluster.account else None, f"-t {whole}", f"--cpus-per-task={cores}",
            f"--mem={-(-bytes_of(memory) // 2**20)}M", f"-o {log}", "--open-mode=append", "--requeue",
        ))  # fmt: skip
        mark = "#SBATCH"
    elif cluster.kind == "pbs":
        lines = iter((
            f"-N {cluster.name}", f"-q {cluster.queue}" if cluster.queue else None,
            f"-A {cluster.account}" if cluster.account else None, f"-l walltime={whole}",
            f"-l select=1:ncpus={cores}:mem={size}MB", f"-o {log}", "-j oe", "-r y",
        ))  # fmt: skip
        mark = "#PBS"
    elif cluster.kind == "lsf":
        lines = iter((
            f"-J {cluster.name}", f"-q {cluster.queue}" if cluster.queue else None,
            f"-P {cluster.account}" if cluster.account else None, f"-W {whole[:-3]}", f"-n {cores}",
            f"-M {size}MB", "-R span[hosts=1]", f"-o {log}", "-r",
        ))  # fmt: skip
        mark = "#BSUB"
    else:
        lines = iter((
            f"-N {cluster.name}", f"-q {cluster.queue}" if cluster.queue else None,
            f"-P {cluster.account}" if cluster.account else None, f"-l h_rt={whole}", f"-o {log}", "-j y", "-cwd",
            "-r y",
        ))  # fmt: skip
        mark = "#$"
    return [f"{mark} {line}" for line in (*lines, *cluster.directives) if line]


def _python(cluster: BatchCluster) -> str:
    return cluster.python or sys.executable


def _ending(wall_time: str, command: str) -> list[str]:
    """The command in the background, asked to stop in time or when the job is; `code` is how it ended."""
    seconds = max(60, seconds_of(wall_time) - BEFORE)
    return [
        f"timeout --signal=TERM --kill-after=60 {seconds} {command} &",
        "child=$!",
        "stopped=",
        "trap 'stopped=1; kill -TERM $child' TERM USR1",
        "wait $child; code=$?",
        '[ -n "$stopped" ] && { wait $child; code=$?; }',
    ]


def _script(made: Submission, header: Sequence[str], work: Sequence[str]) -> str:
    cluster = made.cluster
    folder = shlex.quote(made.folder)
    number = {"slurm": "$SLURM_JOB_ID", "pbs": "$PBS_JOBID", "lsf": "$LSB_JOBID", "sge": "$JOB_ID"}[cluster.kind]
    again = "scontrol requeue $SLURM_JOB_ID" if cluster.kind == "slurm" else (
        f"{handing_in(cluster.kind)} {folder}/{SCRIPT}"
    )  # fmt: skip
    told = f"{cluster.kind} job {number}, its log is {made.path(LOG)}"
    lines = [
        "#!/usr/bin/env bash",
        *header,
        f"cd {shlex.quote(os.getcwd())}",
        f"[ -e {folder}/{CANCELLED} ] && exit 0",
        f'echo "{number}" >> {folder}/{JOBS}',
        f"unset {OF_A_JOB}  # jobs and steps that it starts ask for what they need themselves",
        *cluster.setup,
        *(f"export {name}={shlex.quote(value)}" for name, value in cluster.environment.items()),
        f'export GRISTMILL_JOB="{told}"',
        *work,
        '[ -n "$stopped" ] && [ $code -ne 0 ] && code=143',
        "case $code in",
        "  124|130|137|143)  # stopped before it had ended",
        f"    [ -e {folder}/{CANCELLED} ] && exit 0",
        f'    [ $code = 137 ] && [ $(wc -l < {folder}/{JOBS}) -ge {KILLS} ] && echo "{OUT_OF_MEMORY}" && exit 137',
        f'    echo "stopped ($code); queued again"; {again}; exit 0;;',
        "esac",
        f"echo $code > {folder}/{ENDED}",
        "exit $code",
    ]
    return "\n".join(lines) + "\n"
