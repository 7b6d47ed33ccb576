"""What every action on a provider requires: the permission, of the platform or of this provider alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from accounts.declared import Action, action
from accounts.models import User
from deployments.models import Provider

MANAGE = "deployments.manage_provider"
P = ParamSpec("P")
R = TypeVar("R")


def changes_provider(
    state: Callable[[User | None, Provider], None] | None = None,
) -> Callable[[Callable[P, R]], Action[Provider, P, R]]:
    """Declare an action on a provider. `state` raises Conflict for an obstacle.

    The permission is asked of the provider itself, because a person may manage one provider alone (an object permission
    of django-guardian).
    """
    return action(Provider, permission=MANAGE, on=_itself, state=state)


def lock_provider(pk: UUID | str, user: User | None) -> Provider:
    """A provider, locked. Raises Provider.DoesNotExist if `user` cannot see it. None is the platform."""
    rows = Provider.objects.all() if user is None else Provider.objects.visible_to(user)
    return rows.select_for_update(of=("self",)).get(pk=pk)


def _itself(provider: Provider) -> Provider:
    return provider
