"""The real thing: two nodes of Slurm, which `.ci/slurm` starts. Passed over where there is no Slurm that answers."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..road import contents, done, gristmill, write_settings
from ..small_crawl import prose

pytestmark = [pytest.mark.slow]
MINUTES = 4.0


@pytest.fixture(scope="module", autouse=True)
def slurm() -> None:
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"], capture_output=True, timeout=30).returncode:
        pytest.skip("there is no Slurm here; .ci/slurm starts one")
    pytest.importorskip("dask_jobqueue")


def cluster(folder: Path, **more: object) -> Path:
    """A cluster file for the two nodes, with the packages that this process has."""
    path = folder / "slurm.yaml"
    told = {
        "kind": "slurm", "least": 1, "most": 2, "memory": "2GB", "wall_time": "00:30:00", "logs": str(folder / "logs"),
        "environment": {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PYTHONSAFEPATH": "1"},
        "driver": {"cores": 1, "memory": "2GB", "wall_time": "00:30:00"},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(told | more))
    return path


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60 * MINUTES
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("slurm")
    done("run", write_settings(folder, folder / "alone", stop_after="dedup"))
    return folder, folder / "alone"


def test_jobs_give_the_tables_of_one_process_and_no_job_is_left(alone, tmp_path):
    folder, whole = alone
    settings = write_settings(folder, tmp_path / "jobs", stop_after="dedup")
    done("run", settings, "--cluster", cluster(tmp_path))
    assert contents(tmp_path / "jobs") == contents(whole)
    until(lambda: not subprocess.run(["squeue", "-h"], capture_output=True).stdout, "jobs are left")


def test_a_submitted_run_that_is_stopped_goes_on_and_ends_with_the_same_tables(alone, tmp_path):
    folder, whole = alone
    settings = write_settings(folder, tmp_path / "stopped", stop_after="dedup")
    where = ["--cluster", cluster(tmp_path)]
    told = json.loads(done("submit", settings, *where, "--json"))
    held = Path(told["folder"])
    until(lambda: (tmp_path / "stopped" / "lease.json").exists(), "it did not begin")
    assert "submitted" in gristmill("submit", settings, *where).stderr
    subprocess.run(["scontrol", "requeue", told["job"]], check=True)
    until(lambda: (held / "ended").exists(), "it did not end")
    assert (held / "ended").read_text().strip() == "0"
    assert contents(tmp_path / "stopped") == contents(whole)


def test_a_job_that_slurm_does_not_take_is_one_line(alone, tmp_path):
    folder, _ = alone
    settings = write_settings(folder, tmp_path / "refused", stop_after="dedup")
    ended = gristmill("run", settings, "--cluster", cluster(tmp_path, queue="nowhere"))
    assert ended.returncode == 2
    assert "invalid partition specified: nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_jobs_without_gristmill_are_told_by_what_they_lack(alone, tmp_path):
    folder, _ = alone
    settings = write_settings(folder, tmp_path / "lacking", stop_after="dedup")
    ended = gristmill("run", settings, "--cluster", cluster(tmp_path, python="/nowhere/python"))
    assert ended.returncode == 2
    assert "no worker came" in ended.stderr
    assert "/nowhere/python" in ended.stderr


def test_training_on_two_nodes_is_killed_goes_on_and_equals_one_process(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from gristmill.training import checkpoint
    from gristmill.training.loggers.metrics import read_metrics

    from ..test_training_examples import write_recipe

    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"text": prose("ships", n), "url": f"https://law.example/{n}"}) for n in range(60)]
    Path("law.jsonl").write_text("\n".join(rows) + "\n")
    told = {
        "workspace": str(tmp_path / "W"),
        "extract": {"inputs": [{"paths": ["law.jsonl"], "source": "made", "domain": "law"}]},
        "tokenize": {"vocab_size": 400, "heldout": 0.2},
    }
    Path("s.yaml").write_text(yaml.safe_dump(told))
    done("run", "s.yaml")
    write_recipe("W/mixture/recipe.yaml", {"law": 1.0})
    Path("train.yaml").write_text(yaml.safe_dump({"loop": {"device": "cpu", "checkpoint_every": 20, "log_every": 1}}))
    common = ["train", str(tmp_path / "W/mixture/recipe.yaml"), "--workspace", str(tmp_path / "W")]
    own = [
        "--tokens",
        "65536",
        "--batch-tokens",
        "256",
        "--model",
        "1x16x2",
        "--settings",
        str(tmp_path / "train.yaml"),
    ]
    done(*common, *own, "--name", "alone")
    where = ["--cluster", cluster(tmp_path), "--nodes", "2", "--json"]
    held = json.loads(done("submit", *common, *where, "--", *own, "--name", "spread"))
    run, other = tmp_path / "W/runs/spread", tmp_path / "W/runs/alone"
    until(lambda: max(checkpoint.steps(str(run / "checkpoints")), default=0) > 0, "it did not begin")
    subprocess.run(["scontrol", "requeue", held["job"]], check=True)
    until(lambda: (Path(held["folder"]) / "ended").exists(), "it did not end")
    assert (Path(held["folder"]) / "ended").read_text().strip() == "0"
    assert json.loads((run / "run_card.json").read_text())["cost"]["ranks"] == 2
    losses = [[line["loss"] for line in read_metrics(str(place / "metrics.jsonl"))] for place in (run, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    last = [checkpoint.steps(str(place / "checkpoints"))[-1] for place in (run, other)]
    assert last[0] == last[1]
    for name, tensor in checkpoint.load(checkpoint.path(str(other / "checkpoints"), last[0]))[0].items():
        spread = checkpoint.load(checkpoint.path(str(run / "checkpoints"), last[0]))[0][name]
        torch.testing.assert_close(spread, tensor, rtol=0.05, atol=2e-2)
