"""What every action on a provider requires: the permission, of the platform or of this provider alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from accounts.declared import Action, action
from accounts.models import User
from core.errors import Conflict
from deployments.models import Provider, ProviderCredential
from deployments.provider_credentials import NewCredential

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


def require_may_enter(by: User, credential: NewCredential | None) -> None:
    """Raise PermissionDenied for a reference from somebody who may manage one provider alone.

    Gateways keep the files and variables of all providers in one place: such a person could have the credential of
    another provider sent to this one.
    """
    is_reference = credential is not None and credential.kind != ProviderCredential.Kind.STORED
    if is_reference and not by.has_perm(MANAGE):
        raise PermissionDenied(_("Only those who may manage all providers can name a file or a variable."))


def lock_provider(pk: UUID | str, user: User | None) -> Provider:
    """A provider, locked. Raises Provider.DoesNotExist if `user` cannot see it. None is the platform."""
    rows = Provider.objects.all() if user is None else Provider.objects.visible_to(user)
    return rows.select_for_update(of=("self",)).get(pk=pk)


def place_of(provider: Provider) -> tuple[str, ...]:
    """Who gets a provider's credential: its server, the proxy on the way, and who vouches for the server."""
    parts = urlsplit(provider.base_url)
    return parts.scheme, parts.netloc, provider.proxy_url, provider.private_ca


def require_same_place(provider: Provider, before: Provider) -> None:
    """Raise Conflict if a provider, now locked, is at another place than when somebody began to change it.

    A credential that they entered, and what a test found, are of the place before.
    """
    if place_of(provider) != place_of(before):
        message = _(
            "Somebody has just changed where calls to this provider go. Look at it again, then repeat this."
        )
        raise Conflict(message, code="changed_meanwhile")


def _itself(provider: Provider) -> Provider:
    return provider
