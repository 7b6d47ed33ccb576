"""Ending a tenant's requests and grants when it is closed, and counting the impact beforehand."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User
from catalog.actions.access_requests import withdraw_locked_request
from catalog.actions.grants import revoke_locked_grant
from catalog.models import AccessRequest, Grant
from tenants.models import Tenant
from tenants.signals import Impact
from tenants.stored_sentences import TENANT_IS_CLOSED


def end_requests_and_grants(sender: Any, *, tenant: Tenant, by: User, **kwargs: Any) -> None:
    """Withdraw open requests and revoke unexpired grants. Each gets an audit entry."""
    open_requests = AccessRequest.objects.in_tenant(tenant).undecided().order_by("pk")
    for access_request in open_requests.select_for_update(of=("self",)).select_related("tenant"):
        withdraw_locked_request(access_request, actor=by, reason=TENANT_IS_CLOSED())
    grants = Grant.objects.in_tenant(tenant).not_over().order_by("pk")
    for grant in grants.select_for_update(of=("self",)).select_related("tenant", "model", "project"):
        revoke_locked_grant(grant, actor=by, reason=TENANT_IS_CLOSED())


def count_stakes(sender: Any, *, tenant: Tenant, **kwargs: Any) -> list[Impact]:
    """The number of requests that wait for a decision."""
    return [Impact(_("Open requests"), AccessRequest.objects.in_tenant(tenant).undecided().count())]
