"""Fixtures of the gateway's tests."""

from tests.gateway.config_follower import follower, with_a_copy
from tests.gateway.limiters import (
    limited_rig,
    limiters,
    limits_environment,
    limits_server,
    own_limits_server,
    rig_with_shared_limits,
)
from tests.gateway.proxy_fixtures import _rig_to_configure, configured_rig, new_rig, shared_rig
from tests.gateway.served import served

__all__ = [
    "_rig_to_configure",
    "configured_rig",
    "follower",
    "limited_rig",
    "limiters",
    "limits_environment",
    "limits_server",
    "new_rig",
    "own_limits_server",
    "rig_with_shared_limits",
    "served",
    "shared_rig",
    "with_a_copy",
]
