"""The whole road through the command line: crashes, workers, orders, shard sizes, a cluster, damage."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .road import COMMAND, ENVIRONMENT, contents, done, gristmill, write_settings

DECIDED = "select id, kept, stage, rule, value, duplicate_of from decisions order by id"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """(folder with the crawl, workspace) after one uninterrupted run."""
    folder = tmp_path_factory.mktemp("road")
    workspace = folder / "whole"
    settings = write_settings(folder, workspace)
    began = time.monotonic()
    done("run", settings)
    (folder / "seconds").write_text(str(time.monotonic() - began))
    return folder, workspace


def decisions(workspace: Path) -> list[dict]:
    return json.loads(done("sql", DECIDED, "--workspace", workspace, "--json"))


def test_one_command_ends_with_every_table_a_recipe_a_model_and_a_report(finished):
    _, workspace = finished
    recipe = (workspace / "mixture" / "recipe.yaml").read_text()
    assert "total_tokens: 8192" in recipe
    assert (workspace / "report.html").stat().st_size > 10_000
    metrics = [json.loads(line) for line in (workspace / "runs" / "small" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in metrics if "loss" in row]
    assert losses[-1] < losses[0]
    fates = decisions(workspace)
    assert {row["rule"] for row in fates if row["stage"] == "filter" and not row["kept"]} == {"min_words"}
    assert sum(row["stage"] == "dedup" and not row["kept"] for row in fates) == 3


def test_the_audit_of_a_finished_workspace_finds_nothing(finished):
    _, workspace = finished
    result = json.loads(done("audit", "--workspace", workspace, "--json"))
    assert result["findings"] == []
    assert result["checked"]["deciding stages"] == 2
    assert result["checked"]["clusters"] == 3


def test_the_same_command_again_redoes_nothing(finished):
    folder, workspace = finished
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*.parquet")}
    done("run", write_settings(folder, workspace))
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*.parquet")} == before


@pytest.mark.slow
def test_ten_kills_and_a_restart_give_the_same_bytes(finished, tmp_path):
    folder, whole = finished
    workspace = tmp_path / "killed"
    settings = write_settings(folder, workspace)
    draw = random.Random(7)
    whole_run = float((folder / "seconds").read_text())
    survived = 0
    for attempt in range(10):
        process = subprocess.Popen(
            [*COMMAND, "run", str(settings), "--workers", str(1 + (attempt % 3 == 1))],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + draw.uniform(0.15, 0.9) * whole_run
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        survived += process.poll() is not None
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert survived < 10, "every run ended before it was killed: nothing was tested"
    done("run", settings)
    assert contents(workspace) == contents(whole)
    assert json.loads(done("audit", "--workspace", workspace, "--json"))["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["--workers", "2"], {}),
        ([], {"shuffled": 3}),
        ([], {"extract": {"shard_bytes": 3000}}),
    ],
    ids=["two workers", "inputs in another order", "smaller shards"],
)
@pytest.mark.slow
def test_decisions_do_not_depend_on(finished, tmp_path, arguments, changes):
    folder, whole = finished
    workspace = tmp_path / "other"
    done("run", write_settings(folder, workspace, stop_after="dedup", **changes), *arguments)
    assert decisions(workspace) == decisions(whole)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_tables(finished, tmp_path):
    folder, whole = finished
    pytest.importorskip("distributed")
    address = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *part, "--scheduler-file", str(address), "--no-dashboard"],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        for part in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0"],
            ["worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"],
            ["worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"],
        )
    ]
    try:
        workspace = tmp_path / "cluster"
        settings = write_settings(folder, workspace)
        done("run", settings, "--", "--runner=DaskRunner", f"--dask_scheduler_file={address}", "--dask_npartitions=4")
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert contents(workspace) == contents(whole)


@pytest.mark.slow
def test_one_flipped_byte_is_found_and_its_shard_named(finished, tmp_path):
    folder, _ = finished
    workspace = tmp_path / "damaged"
    done("run", write_settings(folder, workspace, stop_after="filter"))
    shard = sorted((workspace / "documents").glob("*.parquet"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    result = gristmill("audit", "--workspace", workspace)
    assert result.returncode == 1
    name, _, suffix = shard.name.rsplit(".", 2)
    assert f"documents/{name}.{suffix}: checksum" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workspace: W\nfliter: {rules: gopher}\n", "did you mean filter?"),
        ("workspace: W\ndedup: {treshold: 0.8}\n", "did you mean threshold?"),
        ("workspace: W\nworkers: many\n", "workers"),
        (
            "workspace: W\nfilter: {rules: gofer}\nextract: {inputs: [{paths: [/nowhere/at/all.jsonl]}]}\n",
            "/nowhere/at",
        ),
        ("- a list\n", "is a mapping of workspace"),
        ("a: [", "is not YAML"),
    ],
    ids=["section", "key", "value", "missing input", "not a mapping", "not YAML"],
)
def test_a_wrong_settings_file_is_refused_with_what_would_be_right(tmp_path, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(text.replace("workspace: W", f"workspace: {tmp_path / 'w'}"))
    result = gristmill("run", path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
