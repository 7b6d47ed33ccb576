"""Fixtures of the gateway's tests."""

from tests.gateway.limiters import (
    limited_road,
    limiters,
    limits_environment,
    limits_server,
    own_limits_server,
    road_with_shared_limits,
)
from tests.gateway.proxy_fixtures import new_road, shared_road

__all__ = [
    "limited_road",
    "limiters",
    "limits_environment",
    "limits_server",
    "new_road",
    "own_limits_server",
    "road_with_shared_limits",
    "shared_road",
]
