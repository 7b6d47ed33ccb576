"""An API server that is a stub, and the driver that asks it."""

import pytest

from deployments.cluster.kubernetes import KubernetesCluster
from tests.deployments.api_server_stub import Stub


@pytest.fixture
def stub():
    stub = Stub()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def kubernetes(stub):
    named = {"name": "c"}
    return KubernetesCluster.from_text(
        {
            "current-context": "c",
            "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{stub.port}"}}],
            "users": [named | {"user": {"token": "t"}}],
            "contexts": [named | {"context": {"cluster": "c", "user": "c"}}],
        }
    )
