"""The fixtures of the cluster tests; a test module asks for them with `pytest_plugins`."""

import pytest

from deployments.cluster.local import LocalCluster
from deployments.cluster.memory import MemoryCluster
from tests.deployments.cluster_fixtures import Arena, Host


@pytest.fixture
def engine_host(tmp_path):
    host = Host(tmp_path / "engines", "--resource", "nvidia.com/gpu=2").start()
    yield host
    host.stop()


@pytest.fixture
def local_cluster(engine_host):
    return LocalCluster(engine_host.state_dir)


@pytest.fixture(params=["memory", "local", pytest.param("kubernetes", marks=pytest.mark.kubernetes)])
def arena(request):
    if request.param == "memory":
        yield Arena(MemoryCluster())
    elif request.param == "local":
        yield Arena(request.getfixturevalue("local_cluster"))
    else:
        arena = Arena(request.getfixturevalue("kubernetes_cluster"))
        yield arena
        arena.delete()


@pytest.fixture
def kubernetes_cluster(kube_config_path):
    from deployments.cluster.kubernetes import KubernetesCluster  # slow to import; the others do without

    return KubernetesCluster.from_file(kube_config_path)
