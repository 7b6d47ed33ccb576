"""The Kubernetes of the tests is a real one."""

import time

import pytest
from kubernetes import client, config


@pytest.mark.kubernetes
def test_pods_run_on_gpu_nodes_as_long_as_there_are_gpus(kube_config_path):
    api = config.new_client_from_config(str(kube_config_path))
    namespace = client.CoreV1Api(api).create_namespace({"metadata": {"generateName": "gpus-"}}).metadata.name
    container = {"name": "engine", "image": "engine", "resources": {"limits": {"nvidia.com/gpu": "5"}}}
    deployment = {
        "metadata": {"name": "engine"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "engine"}},
            "template": {"metadata": {"labels": {"app": "engine"}}, "spec": {"containers": [container]}},
        },
    }
    client.AppsV1Api(api).create_namespaced_deployment(namespace, deployment)
    deadline = time.monotonic() + 60
    phases = []
    while phases != ["Pending", "Running", "Running"] and time.monotonic() < deadline:
        phases = sorted(p.status.phase for p in client.CoreV1Api(api).list_namespaced_pod(namespace).items)
        time.sleep(0.1)
    client.CoreV1Api(api).delete_namespace(namespace)
    # Two nodes of eight GPUs take one pod of five each.
    assert phases == ["Pending", "Running", "Running"]
