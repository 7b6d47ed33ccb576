"""End one's own sessions."""

from __future__ import annotations

from django.db import transaction

from accounts.actions.own_account import record_own
from accounts.models import Session, User
from accounts.sessions import device_of, end, end_sessions, find_session


@transaction.atomic
def end_session(user: User, handle: str) -> str:
    """End the session of `user` with this handle at their own request; return its device.

    Raises Session.DoesNotExist if `user` has no such session (any more).
    """
    session = find_session(user, handle)
    device = device_of(session.user_agent)
    end(Session.objects.filter(pk=session.pk))
    record_own("session.ended", user, device=device)
    return device


@transaction.atomic
def sign_out_everywhere(user: User) -> int:
    """End every session of `user`, this one too, at their own request; return their number. Safe to repeat."""
    count = end_sessions(user)
    record_own("sessions.ended", user, sessions=count)
    return count
