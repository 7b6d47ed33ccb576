"""An API server that is a stub, and the driver that asks it; a provider that answers."""

import pytest

from tests.deployments.api_server_stub import Stub, driver_of
from tests.deployments.provider_cast import provider, upstream

# Fixtures of several files.
__all__ = ["kubernetes", "provider", "stub", "upstream"]


@pytest.fixture
def stub():
    stub = Stub()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def kubernetes(stub):
    return driver_of(stub)
