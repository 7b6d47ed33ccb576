"""Record every sign-in and sign-out in the audit log, whatever the entry point.

Django sends these signals for the form, the OpenID provider and the administrator's link alike, so no entry point
can forget. accounts/lockout.py counts and records failures.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

import audit
from accounts.models import User
from accounts.session_store import PREFIX
from accounts.sessions import note_origin
from core.scope import platform_scope


def connect() -> None:
    """Connect the receivers. Called once, when the app is ready; a second call changes nothing."""
    user_logged_in.connect(write_sign_in, dispatch_uid="accounts.sign_in")
    user_logged_out.connect(write_sign_out, dispatch_uid="accounts.sign_out")


def write_sign_in(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    note_origin(request)
    vouched = getattr(user, "provider_sign_in", None)  # directory.oidc.backend.ProviderSignIn
    is_strong = vouched.person.has_second_factor if vouched else False
    with platform_scope("a sign-in is written down"):
        audit.record(
            "person.signed_in",
            actor=user,
            subject=user,
            second_factor=is_strong or bool(request.session.get(f"{PREFIX}has_second_factor")),
            provider=vouched.person.issuer if vouched else "",
        )


def write_sign_out(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        with platform_scope("a sign-out is written down"):
            audit.record("person.signed_out", actor=user, subject=user)
