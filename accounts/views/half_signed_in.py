"""The state between password and code: nobody is signed in; only the session knows whose password was correct."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.session_store import BY_LINK, PREFIX

KEY = f"{PREFIX}half_signed_in"
LASTS_SECONDS = 300
LOCAL_BACKEND = "accounts.permissions.StaffPermissionBackend"


def begin_second_step(request: HttpRequest, user: User, *, then: str, by_link: bool = False) -> None:
    """Remember for five minutes that the password (or link) of `user` was correct, and where they wanted to go.

    Args:
        request: the request that carried the password or link.
        user: the person, not signed in yet.
        then: URL to open after the second step.
        by_link: an administrator's link opened this sign-in.
    """
    request.session.cycle_key()
    request.session[KEY] = {
        "user": str(user.pk),
        # A new password set meanwhile voids it.
        "proof": user.get_session_auth_hash(),
        "until": int(time.time()) + LASTS_SECONDS,
        "then": then,
        "by_link": by_link,
    }


def half_signed_in(request: HttpRequest) -> User | None:
    """The person whose password was correct in this browser within the last five minutes; otherwise None."""
    half: dict[str, Any] | None = request.session.get(KEY)
    if half is None or half["until"] < time.time():
        return None
    user = User.objects.filter(pk=half["user"], is_active=True).first()
    if user is None or not constant_time_compare(half["proof"], user.get_session_auth_hash()):
        return None
    return user


def complete_second_step(request: HttpRequest, user: User) -> str:
    """Sign `user` in with both factors, and return where they wanted to go."""
    half = request.session.pop(KEY)
    request.session[f"{PREFIX}has_second_factor"] = True
    login(request, user, backend=LOCAL_BACKEND)
    # Set it even if the sign-in flushed somebody else's session.
    request.session[f"{PREFIX}has_second_factor"] = True
    request.session[BY_LINK] = half["by_link"]
    return str(half["then"])
