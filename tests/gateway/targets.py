"""Targets for configurations that tests write."""

from gateway.contract import TargetConfig
from gateway.proxy.index import Backend


def target(*, url, region="", **fields):
    """A target with one address, in one region or none."""
    return TargetConfig(**{"addresses": [url], "regions": [region] if region else [], **fields})


def address(*, url, **fields):
    """The address of a target, as the gateway uses it."""
    return Backend(target(url=url, **fields), url)
