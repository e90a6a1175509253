"""What a cluster file says: which engine runs the graphs, and what its workers are given.

One mapping with a `kind`. Of a batch system: workers between a least and a most, what each is given, and how it is
asked for there. Refuses a key that the kind does not have, a wall time that is none, and more workers at
least than at most.
Imports nothing heavy: the command line reads it before anything runs.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator

from ...corpus.given_files import read_yaml
from ...corpus.store.errors import RequestError, unknown_name
from .values import expanded

SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$", re.IGNORECASE)
TIME = re.compile(r"^(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?$")


def bytes_of(text: str) -> int:
    """`16GB`, `16GiB`, `512M` in bytes. ValueError for what is no size."""
    found = SIZE.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; write it as 16GB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " kmgt".index(found[2].lower() or " "))


def seconds_of(text: str) -> int:
    """`HH:MM:SS`, `HH:MM` or `D-HH:MM:SS` in seconds. ValueError for what is no time."""
    found = TIME.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no wall time; write it as HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def clock(seconds: int) -> str:
    """Seconds as `HH:MM:SS`, which every batch system but LSF takes."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def long_enough(text: str) -> str:
    """The text. ValueError for what is no wall time, or one that leaves no time to work."""
    if seconds_of(text) < 240:
        raise ValueError("a wall time below four minutes leaves no time to work")
    return text


class ClusterBase(BaseModel, frozen=True, extra="forbid"):
    """What every kind of cluster has."""

    name: str = Field(default="gristmill", pattern=r"^[A-Za-z][\w.-]*$", description="name of its jobs")


class LocalCluster(ClusterBase, frozen=True):
    """Worker processes of this machine."""

    kind: Literal["local"] = Field(default="local", description="worker processes of this machine")
    workers: int = Field(default=1, ge=1, description="how many")


class WorkersBase(ClusterBase, frozen=True):
    """Workers that are started for a run, come and go with its work, and end with it."""

    least: int = Field(default=0, ge=0, description="workers that are kept while the run lasts")
    most: int = Field(default=8, ge=1, description="workers at most, each with one piece of work at a time")
    memory: str = Field(default="4GB", description="memory of one worker")
    scratch: str | None = Field(default=None, description="folder on the worker for files of its own, none shared")
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables of the workers")
    wait: int = Field(default=0, ge=0, description="seconds in which a first worker has to come; 0: however long")

    @model_validator(mode="after")
    def _in_order(self) -> "WorkersBase":
        if self.least > self.most:
            raise ValueError(f"least is {self.least} and most is {self.most}; least may not be above most")
        return self

    @field_validator("memory")
    @classmethod
    def _size(cls, text: str) -> str:
        bytes_of(text)
        return text


class Driver(BaseModel, frozen=True, extra="forbid"):
    """What the job is given that a run is submitted as: it plans, commits, and holds Dask's scheduler."""

    cores: int = Field(default=2, ge=1, description="cores of the job")
    memory: str = Field(default="8GB", description="memory of the job")
    wall_time: str = Field(default="24:00:00", description="after which it is queued again and goes on")

    @field_validator("wall_time")
    @classmethod
    def _time(cls, text: str) -> str:
        return long_enough(text)

    @field_validator("memory")
    @classmethod
    def _size(cls, text: str) -> str:
        bytes_of(text)
        return text


class BatchCluster(WorkersBase, frozen=True):
    """Workers as jobs of a batch system (dask-jobqueue)."""

    kind: Literal["slurm", "pbs", "lsf", "sge"] = Field(description="the batch system")
    per_job: int = Field(default=1, ge=1, description="workers in one job")
    cores: int = Field(default=1, ge=1, description="cores of one worker; what computes takes them all")
    jobs: int | None = Field(default=None, ge=1, description="jobs that the site allows at a time; default: no limit")
    queue: str | None = Field(default=None, description="queue, or partition of Slurm")
    account: str | None = Field(default=None, description="account or project that pays")
    wall_time: str = Field(default="04:00:00", description="of a job; workers end themselves before, one by one")
    setup: tuple[str, ...] = Field(default=(), description="shell lines before a worker starts: modules, environments")
    directives: tuple[str, ...] = Field(default=(), description="further lines for the batch system, as it reads them")
    interface: str | None = Field(default=None, description="network interface between nodes, such as ib0")
    logs: str = Field(default="gristmill-logs", description="folder for the logs of jobs, which all nodes reach")
    python: str | None = Field(default=None, description="Python of the workers; default: the one that runs now")
    driver: Driver = Field(default_factory=Driver, description="the job that a submitted run is")

    @field_validator("wall_time")
    @classmethod
    def _time(cls, text: str) -> str:
        return long_enough(text)

    @property
    def most_jobs(self) -> int:
        """Jobs at most: by the workers asked for, and by what the site allows."""
        wanted = -(-self.most // self.per_job)
        return wanted if self.jobs is None else min(wanted, self.jobs)

    @property
    def least_jobs(self) -> int:
        return min(-(-self.least // self.per_job), self.most_jobs)

    @property
    def lifetime(self) -> tuple[int, int]:
        """(seconds after which a worker ends itself, by how many it may come earlier or later).

        All of them before the wall time, and spread, so that they are not all away at once.
        """
        whole = seconds_of(self.wall_time)
        stagger = min(whole // 10, 1800)
        return whole - stagger - max(30, min(whole // 10, 300)), stagger


class KubernetesCluster(WorkersBase, frozen=True):
    """Workers as pods (dask-kubernetes, whose operator has to be installed in the cluster)."""

    kind: Literal["kubernetes"] = Field(description="pods of a Kubernetes cluster")
    image: str = Field(description="container image that holds gristmill, of the scheduler and the workers")
    namespace: str = Field(default="default", description="namespace of the pods")
    cores: float = Field(default=1, gt=0, description="CPUs that a worker asks for")
    gpus: int = Field(default=0, ge=0, description="GPUs of a worker (nvidia.com/gpu)")
    service_account: str | None = Field(default=None, description="service account of the pods")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels of nodes that may be used")
    volumes: tuple[dict[str, Any], ...] = Field(default=(), description="volumes of the pods, as Kubernetes has them")
    mounts: tuple[dict[str, Any], ...] = Field(default=(), description="where they are mounted, as Kubernetes has it")


class DaskCluster(ClusterBase, frozen=True):
    """A Dask scheduler that runs already."""

    kind: Literal["dask"] = Field(description="a Dask scheduler that runs already")
    address: str | None = Field(default=None, description="its address: tcp://HOST:PORT")
    scheduler_file: str | None = Field(default=None, description="or the file that it wrote")

    @model_validator(mode="after")
    def _one(self) -> "DaskCluster":
        if (self.address is None) == (self.scheduler_file is None):
            raise ValueError("give either address or scheduler_file")
        return self


class BeamCluster(ClusterBase, frozen=True):
    """Any other runner of Beam, by Beam's own options."""

    kind: Literal["beam"] = Field(description="a runner of Beam, by Beam's own options")
    options: tuple[str, ...] = Field(min_length=1, description="options as after -- on the command line")


Cluster = LocalCluster | BatchCluster | KubernetesCluster | DaskCluster | BeamCluster
KINDS: dict[str, type[ClusterBase]] = {
    "local": LocalCluster,
    "slurm": BatchCluster,
    "pbs": BatchCluster,
    "lsf": BatchCluster,
    "sge": BatchCluster,
    "kubernetes": KubernetesCluster,
    "dask": DaskCluster,
    "beam": BeamCluster,
}
ClusterField = Annotated[Cluster, Field(discriminator="kind")]
_adapter: TypeAdapter[Cluster] = TypeAdapter(ClusterField)


def read_cluster(path: str) -> Cluster:
    """The cluster that a file describes. RequestError with one line for everything that is wrong in it."""
    return cluster_of(read_yaml(path, path), path)


def cluster_of(values: Any, where: str) -> Cluster:
    """The cluster that a mapping describes, with `${NAME}` from the environment. RequestError as `read_cluster`."""
    if not isinstance(values, dict):
        raise RequestError(f"{where}: a cluster is a mapping with a kind: {', '.join(KINDS)}")
    kind = values.get("kind")
    if kind is None:
        raise RequestError(f"{where}: kind is missing; there are {', '.join(KINDS)}")
    if kind not in KINDS:
        raise unknown_name("kind of cluster", str(kind), KINDS, where)
    mistakes: list[str] = []
    values = expanded(values, (), mistakes)
    if not mistakes:
        try:
            return _adapter.validate_python(values)
        except ValidationError as error:
            mistakes += [_complaint(mistake, KINDS[kind]) for mistake in error.errors()]
    raise RequestError("\n".join(f"{where}: {mistake}" for mistake in mistakes))


def _complaint(mistake: Any, model: type[BaseModel]) -> str:
    place = [str(part) for part in mistake["loc"] if part not in KINDS]
    named = ".".join(place)
    if mistake["type"] == "extra_forbidden":
        inner: Any = Driver if place[0] == "driver" and len(place) > 1 else model
        return str(unknown_name("setting", place[-1], inner.model_fields, named))
    if mistake["type"] == "missing":
        return f"{named} is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] != "value_error":
        message += f", not {mistake['input']!r}"
    return f"{named}: {message}" if named else message
