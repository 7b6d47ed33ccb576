"""Where versions of models are deployed.

Deployments belong to a package above this one. The package `deployments` registers here at start what it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class VersionUse:
    """The deployments of one version."""

    # Whether there are any, gone ones included.
    is_deployed: bool
    # By the name of each deployment that is not being deleted, the slug of the only tenant that it serves; empty: all.
    living: dict[str, str]


_registered: list[Callable[[UUID], VersionUse]] = []


def register(use_of: Callable[[UUID], VersionUse]) -> None:
    """Register what is known of deployments. Call this from AppConfig.ready; the last call counts."""
    _registered[:] = [use_of]


def use_of(version: UUID) -> VersionUse:
    """The deployments of a version."""
    return _registered[0](version)
