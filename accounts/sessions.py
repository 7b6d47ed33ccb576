"""Browsers' sessions: list those of a person, note when each was last seen, and end them.

Deleting its row ends a session: the browser's next request is not signed in. A request in progress cannot restore
it (accounts/session_store.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.models import Session, User
from accounts.session_store import PREFIX
from core.client_address import client_address

# We write at most this often that a session was seen.
SEEN_EVERY = timedelta(minutes=1)
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True)
class SignedInBrowser:
    """A session as its owner sees it. `handle` names it without revealing its secret key."""

    handle: str
    device: str
    address: str | None
    signed_in_at: datetime
    seen_at: datetime
    is_from_provider: bool
    has_second_factor: bool
    is_current: bool


def note_origin(request: HttpRequest, *, has_second_factor: bool = False) -> None:
    """Store in the session where it was opened. Keeps a second factor that a provider vouched for."""
    request.session[f"{PREFIX}address"] = client_address(request)
    request.session[f"{PREFIX}user_agent"] = request.META.get("HTTP_USER_AGENT", "")[:300]
    if has_second_factor:
        request.session[f"{PREFIX}has_second_factor"] = True


def session_has_second_factor(request: HttpRequest) -> bool:
    """Whether the request's person signed in with a second factor. A bearer token has none, even if the
    request has a cookie too."""
    if "HTTP_AUTHORIZATION" in request.META or not hasattr(request, "session"):
        return False
    return request.session.get(f"{PREFIX}has_second_factor") is True


def speaks_by_token(request: HttpRequest) -> bool:
    """Whether a bearer token identifies the caller to the API, even if the request has a cookie too."""
    has_bearer = request.headers.get("Authorization", "").lower().startswith("bearer ")
    return has_bearer and request.path.startswith("/api/")


def digest_of_session(request: HttpRequest) -> str:
    """The SHA-256 of the request's session, for a row to keep; empty without a session, or with a token."""
    if "HTTP_AUTHORIZATION" in request.META or not hasattr(request, "session"):
        return ""
    key = request.session.session_key
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def note_seen(request: HttpRequest) -> None:
    """Note that the request's session was seen, unless that was noted within the last minute."""
    seen_at: datetime | None = getattr(request.session, "seen_at", None)
    key = request.session.session_key
    if key and seen_at is not None and seen_at < now() - SEEN_EVERY:
        Session.objects.filter(session_key=key, seen_at__lt=now() - SEEN_EVERY).update(
            seen_at=now(), address=client_address(request)
        )


def live_sessions(user: User) -> QuerySet[Any]:
    """The sessions of `user` that have not expired."""
    return Session.objects.filter(user=user, expire_date__gt=now())


def signed_in_browsers(user: User, *, current_key: str | None) -> list[SignedInBrowser]:
    """All live sessions of `user`: the current one first, then the most recently seen."""
    browsers = [
        SignedInBrowser(
            handle=handle_of(row.session_key),
            device=device_of(row.user_agent),
            address=row.address,
            signed_in_at=row.created_at,
            seen_at=row.seen_at,
            is_from_provider=bool(row.issuer),
            has_second_factor=row.has_second_factor,
            is_current=row.session_key == current_key,
        )
        for row in live_sessions(user).defer("session_data").order_by("-seen_at", "session_key")
    ]
    return sorted(browsers, key=lambda browser: not browser.is_current)


def find_session(user: User, handle: str) -> Session:
    """The live session of `user` with that handle. Raises Session.DoesNotExist for any other."""
    for row in live_sessions(user).defer("session_data"):
        if constant_time_compare(handle_of(row.session_key), handle):
            found: Session = row
            return found
    raise Session.DoesNotExist


def handle_of(session_key: str) -> str:
    """The name of a session on pages: 32 hexadecimal digits that do not reveal its key."""
    return salted_hmac("accounts.sessions", session_key, algorithm="sha256").hexdigest()[:32]


def device_of(user_agent: str) -> str:
    """Words for a user agent: "Firefox on Linux"."""
    browser = next((name for part, name in _BROWSERS if part in user_agent), "")
    system = next((name for part, name in _SYSTEMS if part in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or user_agent.partition(" ")[0][:40] or _("Unknown device")


def end_sessions(user: User, *, except_key: str | None = None) -> int:
    """End the sessions of `user`, all or all but one; return how many ended. Safe to repeat.

    The caller's action writes the audit entry, because it knows the reason.
    """
    sessions = Session.objects.filter(user=user)
    if except_key is not None:
        sessions = sessions.exclude(session_key=except_key)
    return end(sessions)


def end(sessions: QuerySet[Any]) -> int:
    """Delete these rows; return how many. Locks their people, so that no session gets another key meanwhile."""
    with transaction.atomic():
        people = User.objects.filter(pk__in=sessions.values("user")).order_by("pk")
        list(people.select_for_update(of=("self",), no_key=True))
        return sessions.delete()[0]


def end_provider_sessions(issuer: str, *, sid: str = "", subject: str = "") -> int:
    """End the sessions that an OpenID provider opened; return how many ended. Safe to repeat.

    Args:
        sid: the provider's session; if given, only its browsers are signed out.
        subject: the person at the provider; if given alone, all their sessions from there end.

    Raises ValueError if neither is given: a logout token names at least one.
    """
    if not issuer or not (sid or subject):
        raise ValueError("A provider's sign-out must name its issuer, and a session or a subject.")
    sessions = Session.objects.filter(issuer=issuer)
    if sid:
        sessions = sessions.filter(provider_session=sid)
    if subject:
        sessions = sessions.filter(subject=subject)
    return end(sessions)


def clear_expired_sessions() -> int:
    """Delete the rows of expired sessions; return how many. Safe to repeat."""
    return Session.objects.filter(expire_date__lte=now()).delete()[0]
