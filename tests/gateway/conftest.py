"""Fixtures of the gateway's tests."""

from tests.gateway.proxy_fixtures import new_road, shared_road

__all__ = ["new_road", "shared_road"]
