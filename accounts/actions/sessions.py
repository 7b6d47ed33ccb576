"""Ending sessions, by whose they are."""

from __future__ import annotations

from django.db import transaction

from accounts.actions.own_account import record_own
from accounts.models import Session, User
from accounts.sessions import device_of, end, end_sessions, find_session


@transaction.atomic
def end_session(handle: str, *, by: User) -> str:
    """End one session of `by`, named by its handle; return the device it was on.

    Raises Session.DoesNotExist when `by` has no such session (any more).
    """
    session = find_session(by, handle)
    device = device_of(session.user_agent)
    end(Session.objects.filter(pk=session.pk))
    record_own("session.ended", by, device=device)
    return device


@transaction.atomic
def sign_out_everywhere(*, by: User) -> int:
    """End every session of `by`, this one too; return how many there were. Safe to repeat."""
    count = end_sessions(by)
    record_own("sessions.ended", by, sessions=count)
    return count
