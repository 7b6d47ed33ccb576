"""Emergency access while it is open: an owner's rights in one tenant, on its pages, in one browser session.

tenants/actions/emergency.py opens, ends and reviews it. This module finds out whether a request uses it. It checks
the clock, the session, the opener's role and the tenant each time, so no sweep is needed (docs/emergency-access.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.http import HttpRequest
from django.utils.timezone import now

import audit
from core.context import current_origin
from core.scope import platform_scope
from tenants.models.emergency import EmergencyAccess

if TYPE_CHECKING:
    from accounts.models import User
    from tenants.models.tenancy import Tenant

PAGES_OF_TENANT: Final = re.compile(r"/t/([^/]+)/")
current_emergency: ContextVar[EmergencyAccess | None] = ContextVar("current_emergency", default=None)


@contextmanager
def within_emergency(request: HttpRequest) -> Iterator[None]:
    """Answer `request` with the emergency access that its person has opened here, if any.

    "Here" means on pages of that tenant, in the session that opened it, signed in with a second factor. Inside this
    context the person has an owner's rights there (`emergency_of`), and each action is recorded with the reason.
    """
    access = _find(request)
    if access is None:
        yield
        return
    token = current_emergency.set(access)
    capacity = audit.acting(
        "emergency_access", reason=access.reason, only_in=access.tenant_id, emergency_access=access.pk
    )
    try:
        with capacity:
            yield
    finally:
        current_emergency.reset(token)


def emergency_of(user: Any) -> EmergencyAccess | None:
    """Return the emergency access that the current request of `user` uses, if any."""
    access = current_emergency.get()
    if access is None or access.opened_by_id != user.pk or access.expires_at <= now():
        return None
    return access


def was_open(user: User, tenant: Tenant, at: datetime) -> bool:
    """Whether `user` had emergency access to `tenant` at that moment, and has been an operator since."""
    accesses = EmergencyAccess.objects.in_tenant(tenant).of_operators().filter(opened_by=user)
    then = accesses.filter(opened_at__lte=at, expires_at__gt=at)
    return bool(then.filter(Q(ended_at=None) | Q(ended_at__gt=at)).exists())


def _find(request: HttpRequest) -> EmergencyAccess | None:
    place, origin = PAGES_OF_TENANT.match(request.path_info), current_origin.get()
    if place is None or not (origin.session and origin.has_second_factor and request.user.is_staff):
        return None
    with platform_scope("whether emergency access is open", is_routine=True):
        accesses = EmergencyAccess.objects.across_tenants().open().filter(tenant__slug=place[1])
        return accesses.filter(opened_by=request.user.pk, session_digest=origin.session).first()
