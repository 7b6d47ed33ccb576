"""Every sign-in and sign-out, whichever door it took, leaves a line in the audit trail.

Django sends these signals for the form, for the OpenID provider and for the administrator's link alike, so no
door can forget. An address that nobody has is only logged, without what was typed: people type passwords there.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from tenants import audit
from tenants.models import User
from tenants.scope import platform_scope
from tenants.session_store import PREFIX
from tenants.sessions import note_origin

log = structlog.get_logger(__name__)


def connect() -> None:
    """Listen. Called once, when the app is ready; again changes nothing."""
    user_logged_in.connect(write_sign_in, dispatch_uid="tenants.sign_in")
    user_logged_out.connect(write_sign_out, dispatch_uid="tenants.sign_out")
    user_login_failed.connect(write_failure, dispatch_uid="tenants.sign_in_failed")


def write_sign_in(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    note_origin(request)
    with platform_scope("a sign-in is written down"):
        audit.record(
            "person.signed_in",
            actor=user,
            subject=user,
            second_factor=bool(request.session.get(f"{PREFIX}has_second_factor")),
            provider=request.session.get(f"{PREFIX}issuer", ""),
        )


def write_sign_out(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        with platform_scope("a sign-out is written down"):
            audit.record("person.signed_out", actor=user, subject=user)


def write_failure(sender: Any, credentials: dict[str, Any], **kwargs: Any) -> None:
    if "username" not in credentials:  # a provider's sign-in: its own door says what failed
        return
    person = User.objects.filter(email=str(credentials["username"]).strip().lower()).first()
    log.info("sign_in_failed", person=str(person.pk) if person else None)
    if person is not None:
        with platform_scope("a failed sign-in is written down"):
            audit.record("person.sign_in_failed", actor=None, subject=person)
