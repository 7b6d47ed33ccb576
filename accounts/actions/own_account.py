"""Writing down what people do with their own account, which belongs to no tenant."""

from __future__ import annotations

from typing import Any

import audit
from accounts.models import User
from core.scope import platform_scope


def record_own(verb: str, user: User, **details: Any) -> None:
    """Append the line. The request's scope is the person's tenants, and rows of no tenant lie outside it."""
    with platform_scope("an action on one's own account is written down", is_routine=True):
        audit.record(verb, actor=user, subject=user, **details)
