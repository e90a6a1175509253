"""A submitted run: its script asks for what the file gives, comes back when it was stopped, and ends when it ended."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.clusters import driver
from gristmill.pipelines.clusters.settings import cluster_of
from gristmill.pipelines.clusters.submission import Submission, job_id, run_script, submission_of, train_script

DRIVER = {"cores": 3, "memory": "6GB", "wall_time": "10:00:00"}


def made(folder: Path, kind: str = "slurm", **more: Any) -> Submission:
    values = {"kind": kind, "logs": str(folder), "queue": "q", "account": "lab", "driver": DRIVER, **more}
    return submission_of(cluster_of(values, "c"), ["settings.yaml"])


@pytest.fixture
def system(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch system of shell scripts that notes what it is asked for and runs nothing by itself."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, said in {
        "sbatch": "echo 41", "qsub": "echo 41.server", "bsub": "cat > /dev/null; echo 'Job <41> is submitted'",
        "scancel": "", "qdel": "", "bkill": "", "scontrol": "",
    }.items():  # fmt: skip
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n{said}\n')
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path


def asked(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("slurm", ["#SBATCH -t 10:00:00", "#SBATCH --cpus-per-task=3", "#SBATCH --mem=5723M", "--requeue", "-A lab"]),
        ("pbs", ["#PBS -l walltime=10:00:00", "select=1:ncpus=3:mem=6000MB", "#PBS -r y", "#PBS -A lab"]),
        ("lsf", ["#BSUB -W 10:00", "#BSUB -n 3", "#BSUB -M 6000MB", "#BSUB -P lab"]),
        ("sge", ["#$ -l h_rt=10:00:00", "#$ -P lab", "#$ -cwd"]),
    ],
)
def test_the_job_asks_for_what_the_driver_is_given_and_bash_reads_it(tmp_path, kind: str, lines: list[str]):
    script = run_script(made(tmp_path, kind, setup=["module load x"]), ["run", "/a b/settings.yaml"])
    for line in (*lines, "module load x", "'/a b/settings.yaml'", "timeout --signal=TERM --kill-after=60 35880 "):
        assert line in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("work", "code", "again"),
    [("exit 0", 0, False), ("exit 2", 2, False), ("exit 130", 0, True), ("exit 124", 0, True), ("kill -9 $$", 0, True)],
)
@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_job_that_was_stopped_is_queued_again_and_one_that_ended_is_not(
    system: Path, kind: str, work: str, code: int, again: bool
):
    held = made(system / "logs", kind, python=str(system / "python"))
    (system / "python").write_text(f"#!/bin/sh\n{work}\n")
    (system / "python").chmod(stat.S_IRWXU)
    held.submit(run_script(held, ["run", "s.yaml"]))
    before = len(asked(system))
    number = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID"}[kind]
    ran = subprocess.run(["bash", held.path("script.sh")], env={**os.environ, number: "41"}, check=False)
    assert ran.returncode == code
    assert (len(asked(system)) > before) == again
    assert held.live == again


def test_a_job_that_is_killed_each_time_is_not_queued_for_ever(system: Path):
    held = made(system / "logs", python=str(system / "python"))
    (system / "python").write_text("#!/bin/sh\nkill -9 $$\n")
    (system / "python").chmod(stat.S_IRWXU)
    held.submit(run_script(held, ["run", "s.yaml"]))
    codes = []
    for _ in range(5):
        ran = subprocess.run(
            ["bash", held.path("script.sh")], env={**os.environ, "SLURM_JOB_ID": "41"}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        codes.append(ran.returncode)
    assert codes == [0, 0, 0, 137, 137]
    assert "want of memory" in ran.stdout


def test_what_is_submitted_is_not_submitted_twice_and_can_be_ended(system: Path):
    held = made(system / "logs")
    assert held.submit("#!/bin/sh\n") == "41"
    with pytest.raises(RequestError, match=r"submitted as job 41 and has not ended.*--cancel"):
        held.submit("#!/bin/sh\n")
    assert held.cancel() == ["41"]
    assert asked(system)[-1] == "scancel 41"
    assert not held.live
    script = run_script(held, ["run", "s.yaml"])
    (Path(held.folder) / "script.sh").write_text(script)
    before = asked(system)
    assert subprocess.run(["bash", held.path("script.sh")], check=False).returncode == 0  # queued again meanwhile
    assert asked(system) == before


def test_nothing_to_cancel_and_a_place_without_a_batch_system_are_told(tmp_path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RequestError, match="nothing was submitted"):
        made(tmp_path).cancel()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="there is no sbatch on this machine"):
        made(tmp_path).submit("")
    with pytest.raises(RequestError, match="only a batch system"):
        submission_of(cluster_of({"kind": "local"}, "c"), ["s.yaml"])


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("41\n", "41"),
        ("41;cluster\n", "41;cluster"),
        ("Job <41> is submitted to queue <q>.", "41"),
        ("7.server", "7.server"),
    ],
)
def test_the_id_of_a_job_is_found_in_what_each_system_prints(said: str, number: str):
    assert job_id(said) == number


def test_training_is_one_process_of_torchrun_a_node(tmp_path):
    script = train_script(made(tmp_path, cores=2), ["train", "W/recipe.yaml", "--workspace", "W"], 4, 8)
    assert "#SBATCH --nodes=4" in script
    assert "#SBATCH --cpus-per-task=16" in script
    assert "--nnodes=4 --nproc-per-node=8" in script
    assert "--rdzv-endpoint=$head:$port" in script
    assert script.index("GRISTMILL_JOB") < script.index("scontrol show hostnames") < script.index("srun --kill-on-bad")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    with pytest.raises(RequestError, match="submitted to Slurm alone"):
        train_script(made(tmp_path, "pbs"), ["train"], 2, 1)


def test_a_driver_that_is_asked_to_stop_ends_as_an_interrupt_does(monkeypatch: pytest.MonkeyPatch):
    import signal

    def work(_: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(driver, "main", work)
    try:
        assert driver.drive(["audit"]) == 130
        monkeypatch.setattr(driver, "main", lambda _: sys.exit(2))
        assert driver.drive(["audit"]) == 2
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_hold_that_a_killed_run_left_is_waited_for(tmp_path, monkeypatch: pytest.MonkeyPatch):
    held = [True, True, False]
    monkeypatch.setattr(driver, "EVERY", 0)
    monkeypatch.setattr(driver, "holder_of", lambda _: "another" if held.pop(0) else None)
    driver.wait_for_hold(str(tmp_path))
    assert held == []
    monkeypatch.setattr(driver, "holder_of", lambda _: "another")
    driver.wait_for_hold(str(tmp_path), patience=0)
