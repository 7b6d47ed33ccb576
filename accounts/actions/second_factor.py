"""Set up a second factor, confirm with it, and remove it."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts import second_factor
from accounts.actions.own_account import record_own
from accounts.declared import action
from accounts.models import RecoveryCode, SecondFactor, User
from accounts.second_factor import Verdict
from accounts.sessions import end_sessions
from core.errors import Conflict


@transaction.atomic
def enrol_authenticator(
    user: User, secret: bytes, code: str, *, may_replace: bool = False
) -> list[str] | None:
    """Make `secret` the second factor of `user` once `code` shows that their app has it.

    Returns the new recovery codes, which are not stored: show them now. Returns None, and changes nothing, if the code
    is wrong.

    Args:
        may_replace: whether it may replace an existing one, as in a session that has confirmed with that one.

    Raises Conflict if there is one that it may not replace: it was set up since the page was opened.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    step = second_factor.matching_step(secret, code.strip().replace(" ", ""))
    if step is None:
        return None
    earlier = SecondFactor.objects.filter(user=user)
    if not may_replace and earlier.exists():
        raise Conflict(_("Someone set up an authenticator in the meantime. Confirm one of its codes first."))
    earlier.delete()
    factor = SecondFactor.objects.create(
        user=user, secret=second_factor.encrypt_secret(secret), last_step=step, used_at=now()
    )
    record_own("second_factor.enrolled", user)
    return _renew_codes(factor)


@transaction.atomic
def confirm_with_code(user: User, code: str) -> Verdict:
    """Check a code (see `second_factor.check_code`) and record the result."""
    verdict = second_factor.check_code(user, code)
    if verdict.is_right and verdict.is_recovery_code:
        left = RecoveryCode.objects.filter(second_factor__user=user, used_at=None).count()
        record_own("second_factor.recovery_code_used", user, left=left)
    elif verdict.is_right:
        record_own("second_factor.confirmed", user)
    elif verdict.was_looked_at:
        audit.record("second_factor.refused", actor=None, subject=user)
    return verdict


@transaction.atomic
def renew_recovery_codes(user: User) -> list[str]:
    """Make new recovery codes; the old ones become void. The new ones are not stored: show them now.

    Raises SecondFactor.DoesNotExist if `user` has no authenticator.
    """
    factor = SecondFactor.objects.select_for_update().get(user=user)
    record_own("second_factor.recovery_codes_renewed", user)
    return _renew_codes(factor)


@transaction.atomic
def turn_off_second_factor(user: User) -> None:
    """Remove the authenticator of `user` at their own request.

    Raises:
        PermissionDenied: staff must have one here.
        SecondFactor.DoesNotExist: the user has none.
    """
    factor = SecondFactor.objects.select_for_update().get(user=user)
    if second_factor.is_required_of(user):
        raise PermissionDenied(
            _("Staff of this installation must have a second factor. You can set up another one.")
        )
    factor.delete()
    record_own("second_factor.turned_off", user)


def _operators_only(by: User) -> None:
    if not by.is_operator:
        raise PermissionDenied(_("Only operators can reset second factors."))


def _require_other(by: User, person: User) -> None:
    if by.pk == person.pk:
        raise PermissionDenied(_("Another administrator must reset your second factor."))
    if person.is_superuser and not by.is_superuser:
        raise PermissionDenied(
            _("Only another administrator can reset the second factor of an administrator.")
        )


def _require_factor(by: User | None, person: User) -> None:
    if not SecondFactor.objects.filter(user=person).exists():
        raise Conflict(_("%(person)s has no second factor set up here.") % {"person": person})


@action(User, permission=_operators_only, rule=_require_other, state=_require_factor)
@transaction.atomic
def reset_second_factor(pk: UUID | str, *, by: User | None, reason: str) -> User:
    """Remove the authenticator of a person who lost it, and sign them out everywhere.

    Args:
        by: None means a person who runs commands on the machine.

    Raises:
        User.DoesNotExist: there is no such person.
        PermissionDenied: `by` is not an operator, is the person themselves, or ranks below them.
        Conflict: the person has no authenticator.
    """
    user = User.objects.select_for_update().get(pk=pk)
    reset_second_factor.require(by, user)
    SecondFactor.objects.filter(user=user).delete()
    end_sessions(user)
    audit.record("second_factor.reset", actor=by, subject=user, reason=reason)
    return user


def _renew_codes(factor: SecondFactor) -> list[str]:
    factor.recovery_codes.all().delete()
    codes = second_factor.new_recovery_codes()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(second_factor=factor, digest=second_factor.digest_of(code)) for code in codes
    )
    return codes
