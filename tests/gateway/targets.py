"""Targets for configurations that tests write."""

from gateway.contract import TargetConfig
from gateway.proxy.index import Backend


def target(*, url, **fields):
    """A target with one address."""
    return TargetConfig(**{"addresses": [url], **fields})


def address(*, url, **fields):
    """The address of a target, as the gateway uses it."""
    return Backend(target(url=url, **fields), url)
