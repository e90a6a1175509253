"""Workers as pods of Kubernetes: the specification that dask-kubernetes' operator is given.

The specification is plain data, made here without a cluster; only `start` needs one.
"""

import os
from typing import Any

from ...corpus.store.errors import MissingExtra, RequestError
from .batch import PATIENT
from .settings import KubernetesCluster, bytes_of


def specification(cluster: KubernetesCluster) -> dict[str, Any]:
    """The DaskCluster of the operator: one scheduler, and workers of which the number is set as they are needed."""
    try:
        from dask_kubernetes.operator import make_cluster_spec
    except ImportError:
        raise MissingExtra("dask-kubernetes", "kubernetes") from None
    told = {"OMP_NUM_THREADS": str(max(1, int(cluster.cores))), **PATIENT, **cluster.environment}
    memory = str(bytes_of(cluster.memory))
    needs: dict[str, Any] = {"cpu": str(cluster.cores), "memory": memory}
    if cluster.gpus:
        needs["nvidia.com/gpu"] = str(cluster.gpus)
    command: Any = ["dask", "worker", "--nthreads", "1"]  # taken as a list, and declared as text
    spec: dict[str, Any] = make_cluster_spec(
        name=cluster.name,
        image=cluster.image,
        n_workers=cluster.least,
        resources={"requests": needs, "limits": needs},
        env=told,
        worker_command=command,
    )
    worker = spec["spec"]["worker"]["spec"]
    if cluster.scratch is not None:
        worker["containers"][0]["args"] += ["--local-directory", cluster.scratch]
    for pod in (worker, spec["spec"]["scheduler"]["spec"]):
        if cluster.service_account is not None:
            pod["serviceAccountName"] = cluster.service_account
        if cluster.node_selector:
            pod["nodeSelector"] = dict(cluster.node_selector)
        if cluster.volumes:
            pod["volumes"] = [*pod.get("volumes", ()), *cluster.volumes]
            pod["containers"][0]["volumeMounts"] = [*pod["containers"][0].get("volumeMounts", ()), *cluster.mounts]
    spec["metadata"]["namespace"] = cluster.namespace
    return spec


def start(cluster: KubernetesCluster) -> Any:
    """The cluster, its workers between the least and the most. RequestError where Kubernetes cannot be reached."""
    spec = specification(cluster)
    if not (os.path.exists(os.path.expanduser(os.environ.get("KUBECONFIG", "~/.kube/config"))) or _inside()):
        raise RequestError(
            "kind: kubernetes: there is no ~/.kube/config and KUBECONFIG names none; run this where kubectl works"
        )
    from dask_kubernetes.operator import KubeCluster

    try:
        made = KubeCluster(custom_cluster_spec=spec, namespace=cluster.namespace, quiet=True)
    except Exception as error:  # whatever its client raises: the cluster is not to be had
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise RequestError(
            f"kind: kubernetes: the cluster was not made ({said}); check it by `kubectl get daskclusters -n "
            f"{cluster.namespace}`: the operator of dask-kubernetes has to be installed there"
        ) from error
    made.adapt(minimum=cluster.least, maximum=cluster.most)
    return made


def _inside() -> bool:
    return os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
