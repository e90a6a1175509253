"""What a cluster file may say, what it leads to, and what is told where it says what cannot be."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.clusters.batch import ENDED, ended_in, job_script, last_words, words_of
from gristmill.pipelines.clusters.pods import specification
from gristmill.pipelines.clusters.settings import KINDS, bytes_of, clock, cluster_of, read_cluster, seconds_of
from gristmill.pipelines.clusters.shown import shown

WHOLE: dict[str, dict[str, Any]] = {
    "local": {"workers": 2},
    "slurm": {"queue": "cpu", "account": "lab", "least": 2, "most": 40, "per_job": 4, "cores": 2, "memory": "3GB"},
    "pbs": {"queue": "work", "account": "lab", "most": 3, "cores": 4, "memory": "3GB", "wall_time": "1-00:00:00"},
    "lsf": {"queue": "normal", "account": "lab", "cores": 2, "wall_time": "02:30:00"},
    "sge": {"queue": "all.q", "account": "lab", "directives": ["-pe smp 2"], "setup": ["module load python"]},
    "kubernetes": {"image": "registry/gristmill:1", "least": 1, "gpus": 1, "namespace": "lab"},
    "dask": {"address": "tcp://host:8786"},
    "beam": {"options": ["--runner=FlinkRunner", "--flink_master=host:8081"]},
}


def made(kind: str, **more: Any) -> Any:
    return cluster_of({"kind": kind, **WHOLE[kind], **more}, "c.yaml")


def refused(values: Any) -> list[str]:
    with pytest.raises(RequestError) as told:
        cluster_of(values, "c.yaml")
    lines = str(told.value).splitlines()
    assert all(line.startswith("c.yaml: ") for line in lines)
    return lines


@pytest.mark.slow  # it loads what Kubernetes is asked with
def test_every_kind_is_read_and_shown():
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("dask_kubernetes")
    assert set(WHOLE) == set(KINDS)
    for kind in KINDS:
        assert shown(made(kind)).endswith("\n")


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([], "a cluster is a mapping with a kind"),
        ({}, "kind is missing"),
        ({"kind": "slrum"}, "did you mean slurm?"),
        ({"kind": "slurm", "memroy": "1GB"}, "did you mean memory?"),
        ({"kind": "slurm", "driver": {"wall_tim": "1:00"}}, "did you mean wall_time?"),
        ({"kind": "slurm", "memory": "much"}, "'much' is no size; write it as 16GB"),
        ({"kind": "slurm", "wall_time": "tomorrow"}, "is no wall time"),
        ({"kind": "pbs", "wall_time": "00:01:00"}, "below four minutes"),
        ({"kind": "slurm", "driver": {"wall_time": "00:00:00"}}, "below four minutes"),
        ({"kind": "slurm", "least": 9, "most": 3}, "least is 9 and most is 3"),
        ({"kind": "slurm", "per_job": 0}, "per_job"),
        ({"kind": "kubernetes"}, "image is missing"),
        ({"kind": "dask"}, "give either address or scheduler_file"),
        ({"kind": "dask", "address": "a", "scheduler_file": "b"}, "give either"),
        ({"kind": "beam", "options": []}, "options"),
        ({"kind": "local", "queue": "x"}, "queue"),
        ({"kind": "slurm", "account": "${NOT_SET_ANYWHERE}"}, "'NOT_SET_ANYWHERE' is not set"),
    ],
)
def test_what_a_cluster_file_may_not_say_is_one_line(values: Any, right: str):
    (line,) = refused(values)
    assert right in line


def test_every_mistake_of_a_file_is_told_at_once(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"kind": "lsf", "most": 0, "memory": "x", "colour": "red"}))
    with pytest.raises(RequestError) as told:
        read_cluster(str(path))
    assert len(str(told.value).splitlines()) == 3


@given(st.integers(0, 400 * 86400))
def test_a_wall_time_is_read_as_it_is_written(seconds: int):
    assert seconds_of(clock(seconds)) == seconds


@given(st.integers(240, 30 * 86400), st.floats(-1, 1))
def test_workers_end_before_their_wall_time_whenever_the_draw_lets_them(seconds: int, draw: float):
    cluster = made("slurm", wall_time=clock(seconds))
    lifetime, stagger = cluster.lifetime
    assert 0 < lifetime + draw * stagger <= seconds - 30


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 64), st.one_of(st.none(), st.integers(1, 100)))
def test_jobs_never_exceed_what_the_site_allows(least: int, more: int, per_job: int, jobs: int | None):
    cluster = made("slurm", least=least, most=least + more, per_job=per_job, jobs=jobs)
    assert 0 <= cluster.least_jobs <= cluster.most_jobs
    assert jobs is None or cluster.most_jobs <= jobs
    assert cluster.most_jobs * per_job >= least + more or jobs is not None


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (
            "slurm",
            ["#SBATCH -p cpu", "#SBATCH -A lab", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=12G", "-t 04:00:00"],
        ),
        ("pbs", ["#PBS -q work", "#PBS -A lab", "select=1:ncpus=4:mem=3000MB", "walltime=24:00:00"]),
        ("lsf", ["#BSUB -q normal", '#BSUB -P "lab"', "#BSUB -n 2", "#BSUB -W 02:30"]),
        ("sge", ["#$ -q all.q", "#$ -P lab", "#$ -pe smp 2", "module load python", "#$ -l h_rt=04:00:00"]),
    ],
)
def test_a_job_asks_for_what_the_file_gives_its_workers(kind: str, lines: list[str]):
    pytest.importorskip("dask_jobqueue")
    script = job_script(made(kind))
    for line in (*lines, "--lifetime-stagger", "--nthreads 1", f"export OMP_NUM_THREADS={made(kind).cores}", ENDED):
        assert line in script


def test_shell_lines_come_before_the_variables_and_those_are_quoted():
    pytest.importorskip("dask_jobqueue")
    script = job_script(made("slurm", setup=["source env"], environment={"PLACE": "a b'c"}))
    assert script.index("source env") < script.index("export PLACE='a b'\"'\"'c'")


@pytest.mark.slow
def test_the_pods_bear_image_resources_and_volumes():
    pytest.importorskip("dask_kubernetes")
    volume, mount = {"name": "crawl", "nfs": {"server": "s", "path": "/"}}, {"name": "crawl", "mountPath": "/crawl"}
    spec = specification(
        made("kubernetes", volumes=[volume], mounts=[mount], service_account="miller", node_selector={"disk": "ssd"})
    )
    worker = spec["spec"]["worker"]["spec"]
    box = worker["containers"][0]
    assert spec["metadata"]["namespace"] == "lab"
    assert box["image"] == "registry/gristmill:1"
    assert box["resources"]["limits"] == {"cpu": "1", "memory": "4000000000", "nvidia.com/gpu": "1"}
    assert box["args"][:4] == ["dask", "worker", "--nthreads", "1"]
    assert worker["serviceAccountName"] == "miller"
    assert worker["nodeSelector"] == {"disk": "ssd"}
    for pod in (worker, spec["spec"]["scheduler"]["spec"]):
        assert volume in pod["volumes"]
        assert mount in pod["containers"][0]["volumeMounts"]


@given(st.integers(1, 999), st.sampled_from(["", "K", "M", "G", "T"]), st.sampled_from(["", "B", "iB"]))
def test_sizes_are_read_in_both_bases(number: int, prefix: str, unit: str):
    base = 1024 if unit.startswith("i") else 1000
    assert bytes_of(f"{number}{prefix}{unit}") == number * base ** ["", "K", "M", "G", "T"].index(prefix)


def test_jobs_that_ended_are_counted_and_quoted(tmp_path):
    assert ended_in(str(tmp_path / "none")) == []
    (tmp_path / f"{ENDED}a-1").write_text("127\n")
    (tmp_path / f"{ENDED}b-2").write_text("")
    (tmp_path / "job-7.err").write_text("a line\nbash: python9: command not found\n")
    assert ended_in(str(tmp_path)) == [127, 1]
    assert re.search(r"job-7\.err: .*python9: command not found$", last_words(str(tmp_path)))


def test_the_words_of_slurm_are_told_on_one_line():
    said = words_of("allocation failure:\nsbatch: error: invalid partition specified: x\n")
    assert said == "invalid partition specified: x"


def test_every_field_of_a_cluster_file_says_what_it_is():
    models = {*KINDS.values(), KINDS["slurm"].model_fields["driver"].annotation}
    silent = [f"{model.__name__}.{name}" for model in models for name, field in model.model_fields.items()  # type: ignore[union-attr]
              if not field.description]  # fmt: skip
    assert silent == []
