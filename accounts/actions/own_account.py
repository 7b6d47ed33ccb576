"""Record what people do with their own account, which belongs to no tenant."""

from __future__ import annotations

from typing import Any

import audit
from accounts.models import User
from core.scope import platform_scope


def record_own(verb: str, user: User, **details: Any) -> None:
    """Append the audit entry. It has no tenant, so it lies outside the request's scope, the person's tenants."""
    with platform_scope("an action on one's own account is written down", is_routine=True):
        audit.record(verb, actor=user, subject=user, **details)
