"""A kubelet without containers: registers nodes with GPUs and walks the pods bound to them to Running.

    KUBECONFIG=… python -m tests.kube.fake_kubelet NODE…

So Deployments really become Available, scheduling really fails for lack of GPUs, and deleted pods really go.
"""

import itertools
import sys
import threading
from datetime import UTC, datetime

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

GPUS_PER_NODE = 8
HEARTBEAT_SECONDS = 5.0
GONE, CONFLICT = 404, 409


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeKubelet:
    """The kubelet of some nodes, on one connection."""

    def __init__(self, nodes: list[str]) -> None:
        self.nodes = nodes
        self.core = client.CoreV1Api()
        self.addresses = (f"10.244.{high}.{low}" for high in range(250) for low in range(1, 250))
        self.stopped = threading.Event()

    def run(self) -> None:
        """Keep the nodes ready and their pods running, for ever."""
        for node in self.nodes:
            self.register(node)
        threading.Thread(target=self.keep_ready, daemon=True).start()
        for attempt in itertools.count(1):
            try:
                for event in watch.Watch().stream(self.core.list_pod_for_all_namespaces, timeout_seconds=5):
                    pod = event["object"]
                    if event["type"] in ("ADDED", "MODIFIED") and pod.spec.node_name in self.nodes:
                        self.follow(pod)
            except ApiException as error:
                sys.stderr.write(f"watch {attempt}: {error.status} {error.reason}\n")
                self.stopped.wait(0.2)

    def register(self, node: str) -> None:
        """Create the node unless it exists."""
        labels = {"kubernetes.io/hostname": node, "nvidia.com/gpu.product": "FAKE-H200"}
        try:
            self.core.create_node({"metadata": {"name": node, "labels": labels}})
        except ApiException as error:
            if error.status != CONFLICT:
                raise

    def keep_ready(self) -> None:
        """Report every node as ready, again and again."""
        while True:
            for node in self.nodes:
                try:
                    self.core.patch_node_status(node, node_status())
                except ApiException as error:
                    sys.stderr.write(f"heartbeat {node}: {error.status} {error.reason}\n")
            self.stopped.wait(HEARTBEAT_SECONDS)

    def follow(self, pod: client.V1Pod) -> None:
        """Do to a pod what its kubelet would do next."""
        name, namespace = pod.metadata.name, pod.metadata.namespace
        try:
            # The last step of a deletion, once the containers are gone.
            if pod.metadata.deletion_timestamp:
                body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
                self.core.delete_namespaced_pod(name, namespace, body=body)
            elif pod.status.phase == "Pending":
                self.core.patch_namespaced_pod_status(
                    name, namespace, running_status(pod, next(self.addresses))
                )
        except ApiException as error:
            if error.status not in (GONE, CONFLICT):
                sys.stderr.write(f"pod {namespace}/{name}: {error.status} {error.body}\n")


def node_status() -> dict:
    """A healthy node with GPUs."""
    capacity = {
        "cpu": "32",
        "memory": "256Gi",
        "pods": "110",
        "ephemeral-storage": "500Gi",
        "nvidia.com/gpu": str(GPUS_PER_NODE),
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "fake",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }
    facts = (
        *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"),
        *("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"),
    )
    info = dict.fromkeys(facts, "fake")
    return {
        "status": {"capacity": capacity, "allocatable": capacity, "conditions": [ready], "nodeInfo": info}
    }


def running_status(pod: client.V1Pod, address: str) -> dict:
    """What a kubelet reports when all containers of a pod run and are ready."""
    time = now()
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": time}
        for name in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    containers = [
        {
            "name": container.name,
            "image": container.image,
            "imageID": f"fake://{container.image}",
            "containerID": f"fake://{pod.metadata.uid}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": time}},
        }
        for container in pod.spec.containers
    ]
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "127.0.0.1",
            "startTime": time,
            "conditions": conditions,
            "containerStatuses": containers,
        }
    }


if __name__ == "__main__":
    config.load_kube_config()
    FakeKubelet(sys.argv[1:]).run()
