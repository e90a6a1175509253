"""What a cluster file leads to, as text: the script of a job of workers, the pods, or Beam's options."""

import yaml

from .batch import SUBMIT, job_script
from .pods import specification
from .settings import BatchCluster, BeamCluster, Cluster, DaskCluster, KubernetesCluster


def shown(cluster: Cluster) -> str:
    """The text, with a last line break."""
    if isinstance(cluster, BatchCluster):
        life, stagger = cluster.lifetime
        return (
            f"# {cluster.least_jobs} to {cluster.most_jobs} jobs of {cluster.per_job} "
            f"worker{'s' * (cluster.per_job > 1)}, by {SUBMIT[cluster.kind]};\n"
            f"# a worker ends itself after {life} s, give or take {stagger}, and another takes its place\n"
            f"{job_script(cluster).rstrip()}\n"
        )
    if isinstance(cluster, KubernetesCluster):
        return f"# {cluster.least} to {cluster.most} workers\n{yaml.safe_dump(specification(cluster), sort_keys=False)}"
    if isinstance(cluster, DaskCluster):
        place = f"--dask_client_address={cluster.address}" if cluster.address else None
        return f"--runner=DaskRunner {place or f'--dask_scheduler_file={cluster.scheduler_file}'}\n"
    if isinstance(cluster, BeamCluster):
        return " ".join(cluster.options) + "\n"
    return f"{cluster.workers} local worker process{'es' * (cluster.workers > 1)}\n"
