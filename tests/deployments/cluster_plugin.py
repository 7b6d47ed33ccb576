"""The fixtures of the cluster tests; a test module asks for them with `pytest_plugins`."""

import pytest

from deployments.cluster.local import LocalCluster
from deployments.cluster.memory import MemoryCluster
from tests.deployments.cluster_fixtures import Arena, Host, edit_the_file, edit_with_kubectl, eventually


@pytest.fixture(scope="session")
def engine_host(tmp_path_factory):
    """A host that tests share, each in a namespace of its own. Whoever disturbs the host takes
    `own_engine_host`."""
    host = Host(tmp_path_factory.mktemp("engines"), "--resource", "nvidia.com/gpu=2").start()
    yield host
    host.stop()


@pytest.fixture
def own_engine_host(tmp_path):
    host = Host(tmp_path / "engines", "--resource", "nvidia.com/gpu=2").start()
    yield host
    host.stop()


@pytest.fixture
def local_arena(engine_host):
    arena = Arena(LocalCluster(engine_host.state_dir), edit_the_file(engine_host.state_dir))
    yield arena
    arena.delete()


@pytest.fixture
def own_local_arena(own_engine_host):
    return Arena(LocalCluster(own_engine_host.state_dir))


@pytest.fixture(scope="session")
def kubernetes_cluster(kube_config_path):
    # Slow to import; the others do without.
    from deployments.cluster.kubernetes import KubernetesCluster

    return KubernetesCluster.from_file(kube_config_path)


@pytest.fixture
def kubernetes_arena(kubernetes_cluster, kube_config_path):
    arena = Arena(kubernetes_cluster, edit_with_kubectl(kube_config_path))
    yield arena
    kubernetes_cluster.delete(arena.spec.namespace, arena.spec.name, arena.spec.deployment_id)


@pytest.fixture(params=["memory", "local", pytest.param("kubernetes", marks=pytest.mark.kubernetes)])
def arena(request):
    if request.param == "memory":
        cluster = MemoryCluster()
        return Arena(cluster, cluster.tamper)
    return request.getfixturevalue(f"{request.param}_arena")


@pytest.fixture
def free_gpus(engine_host):
    """Wait until no test before us holds a GPU of the shared host."""
    cluster = LocalCluster(engine_host.state_dir)
    eventually(lambda: not list((engine_host.state_dir / "observed").iterdir()) and cluster.check("any"))
