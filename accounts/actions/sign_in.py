"""Passwords, lockouts, and the sign-in of the first administrator."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts import lockout
from accounts.actions.own_account import record_own
from accounts.declared import action
from accounts.models import SecondFactor, User
from accounts.sessions import end_sessions
from core.addresses import read_address, read_mail_address
from core.errors import Conflict

LINK_LIFE = timedelta(minutes=15)
_SALT = "tenants.administrator-link"


class LinkIsOver(Conflict):
    """The administrator's link is used, expired, or invalid."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "This link was already used, or is older than 15 minutes. Create another: manage.py "
                "create_administrator"
            ),
            code="link_over",
        )


@transaction.atomic
def change_password(user: User, password: str, *, keep_session: str | None) -> None:
    """Give `user` a new password, which the caller has validated, and end their other sessions everywhere.

    Raises PermissionDenied if local accounts are off.
    """
    if not settings.LOCAL_ACCOUNTS:
        raise PermissionDenied(_("Passwords are off here. Sign in with your organization's account."))
    user.set_password(password)
    user.save(update_fields=["password"])
    ended = end_sessions(user, except_key=keep_session)
    record_own("password.changed", user, sessions_ended=ended)


def _operators_only(by: User) -> None:
    if not by.is_operator:
        raise PermissionDenied(_("Only operators can unlock a sign-in."))


def _require_locked(by: User | None, person: User) -> None:
    if not lockout.is_locked(person):
        raise Conflict(_("%(person)s is not locked out.") % {"person": person})


@action(User, permission=_operators_only, state=_require_locked)
@transaction.atomic
def unlock_sign_in(pk: UUID | str, *, by: User) -> User:
    """Let a person whom failures locked out try again now.

    Raises:
        User.DoesNotExist: there is no such person.
        PermissionDenied: `by` is not an operator.
        Conflict: the person is not locked out.
    """
    user = User.objects.select_for_update().get(pk=pk)
    unlock_sign_in.require(by, user)
    lockout.forget_failures(user)
    audit.record("person.unlocked", actor=by, subject=user)
    return user


@transaction.atomic
def create_administrator(email: str, *, reason: str, reset_factor: bool = False) -> tuple[User, str]:
    """Make `email` an active administrator, and return a link token that signs them in once, within 15 minutes.

    Only a command on the machine does this (`manage.py create_administrator`), for the first administrator or when
    nobody else can sign in. An existing administrator keeps the password and, unless `reset_factor`, the second
    factor. Safe to repeat; a new link does not void an older one, but using either voids both.

    Raises ValidationError if `email` is not an address; Conflict for a service account.
    """
    email = read_address(email)
    user = User.objects.select_for_update().filter(email=email).first()
    if user is None:
        user = User(email=read_mail_address(email))
        user.set_unusable_password()
        user.full_clean()
    if user.is_service_account:
        raise Conflict(_("This is a service account. Service accounts never sign in to pages."))
    user.is_active = user.is_staff = user.is_superuser = True
    user.save()
    lockout.forget_failures(user)
    if reset_factor and SecondFactor.objects.filter(user=user).delete()[0]:
        end_sessions(user)
        audit.record("second_factor.reset", actor=None, subject=user, reason=reason)
    audit.record("administrator.link_made", actor=None, subject=user, reason=reason)
    return user, signing.dumps([str(user.pk), _state_of(user)], salt=_SALT)


def read_administrator_link(token: str) -> User:
    """Return the person whom the link signs in; changes nothing. Raises LinkIsOver."""
    try:
        pk, state = signing.loads(token, salt=_SALT, max_age=LINK_LIFE)
    except (signing.BadSignature, ValueError) as error:
        raise LinkIsOver from error
    user = User.objects.filter(pk=pk, is_active=True, is_superuser=True).first()
    if user is None or not constant_time_compare(state, _state_of(user)):
        raise LinkIsOver
    return user


@transaction.atomic
def use_administrator_link(token: str, *, password: str = "") -> User:
    """Use up the link, and void all others of this person. Returns the person whom the caller may now sign in.

    Args:
        password: the new password, if local accounts are on; ValidationError if it is too weak.

    Raises LinkIsOver, also for the second of two concurrent calls.
    """
    User.objects.select_for_update().get(pk=read_administrator_link(token).pk)
    # Read it again, now that nobody else can use it.
    user = read_administrator_link(token)
    if settings.LOCAL_ACCOUNTS:
        validate_password(password, user)
        user.set_password(password)
        end_sessions(user)
    user.last_login = now()
    user.save(update_fields=["last_login", "password"])
    record_own("administrator.link_used", user)
    return user


def _state_of(user: User) -> str:
    """A value that changes with every sign-in and every new password, which voids earlier links."""
    seen = user.last_login.isoformat() if user.last_login else ""
    return salted_hmac(_SALT, f"{user.pk}{user.password}{seen}", algorithm="sha256").hexdigest()
