"""Stop password guessing: django-axes counts failures; this module says for whom, and what people read.

After LOCKOUT_FAILURES failures from one place, an address is locked at that place only, so that an attacker
elsewhere cannot easily lock its owner out. After LOCKOUT_FAILURES_ANYWHERE it is locked everywhere, so that many
places together cannot go on guessing. Addresses that nobody has are locked too, so nothing reveals which exist.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now

import audit
from accounts.models import User
from core.addresses import address_key, address_or_none
from core.scope import platform_scope

log = structlog.get_logger(__name__)


def address_tried(request: Any, credentials: dict[str, Any] | None = None) -> str:
    """The e-mail address of an attempt, in the canonical spelling for finding people and counting failures."""
    given = credentials if credentials is not None else request.POST
    return address_key(given.get("username") or "")


class LockoutBackend(AxesStandaloneBackend):  # type: ignore[misc]
    """The first backend: rejects passwords of locked addresses. A provider's sign-in has no password to guess."""

    def authenticate(
        self, request: HttpRequest, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> None:
        if username is not None:
            super().authenticate(request, username=username, password=password, **kwargs)


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]
    """Counts failures in the database, and records failures and lockouts of known people in the audit log."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """The number of failures here, or at least the limit if there were too many anywhere."""
        here, anywhere = (
            sum(attempts.values_list("failures_since_start", flat=True))
            for attempts in self.get_user_attempts(request, credentials)
        )
        if anywhere >= settings.LOCKOUT_FAILURES_ANYWHERE:
            return int(max(here, settings.AXES_FAILURE_LIMIT))
        return int(here)

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        if "username" not in credentials:
            # A provider's sign-in: its own entry point reports the failure.
            return
        was_locked = bool(request and request.axes_locked_out)
        super().user_login_failed(sender, credentials, request, **kwargs)
        if was_locked:
            # The lockout is already recorded; the audit log must not grow with every further attempt.
            return
        person = User.objects.filter(email=address_or_none(credentials["username"])).first()
        is_locked = bool(request and request.axes_locked_out)
        # Leave out the typed text: people type passwords into this field.
        log.info("sign_in_failed", person=str(person.pk) if person else None, locked=is_locked)
        if person is not None:
            with platform_scope("a failed sign-in is written down"):
                audit.record("person.sign_in_failed", actor=None, subject=person)
                if is_locked:
                    audit.record(
                        "person.locked_out", actor=None, subject=person, until=_locked_until(request)
                    )


def locked_out(
    request: HttpRequest, answer: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """The page for a locked address: it says when to try again, and who can help."""
    until = _locked_until(request)
    response = render(request, "registration/locked_out.html", {"until": until}, status=429)
    response["Retry-After"] = str(max(1, int((until - now()).total_seconds())))
    response["Cache-Control"] = "no-store"
    return response


def is_locked(user: User) -> bool:
    """Whether too many failures keep `user` from signing in somewhere or everywhere."""
    recent = _recent_failures(user).values_list("ip_address", "failures_since_start")
    here: dict[str | None, int] = {}
    for address, failures in recent:
        here[address] = here.get(address, 0) + failures
    anywhere = sum(here.values())
    return anywhere >= settings.LOCKOUT_FAILURES_ANYWHERE or any(
        count >= settings.AXES_FAILURE_LIMIT for count in here.values()
    )


def forget_failures(user: User) -> int:
    """Let `user` try again now; return the number of deleted failure records. Safe to repeat."""
    forgotten: int = AxesProxyHandler.reset_attempts(username=user.email)
    return forgotten


def _recent_failures(user: User) -> Any:
    return AccessAttempt.objects.filter(
        username=user.email, attempt_time__gte=now() - settings.AXES_COOLOFF_TIME
    )


def _locked_until(request: Any) -> datetime:
    """The time when the last counted failure of this address expires."""
    last = (
        AccessAttempt.objects.filter(username=address_tried(request))
        .order_by("-attempt_time")
        .values_list("attempt_time", flat=True)
        .first()
    )
    until: datetime = (last or now()) + settings.AXES_COOLOFF_TIME
    return until
