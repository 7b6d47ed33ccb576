"""Replacing and ending credentials of providers. The new one is in force at once, the old one until a deadline."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from deployments.models import Provider, ProviderCredential
from deployments.provider_credentials import NewCredential, is_same, row_of
from deployments.provider_declared import (
    MANAGE,
    changes_provider,
    lock_provider,
    require_may_enter,
    require_same_place,
)
from deployments.provider_lists import note_report
from deployments.provider_tests import require_reached
from tenants.revision import raise_revision

LONGEST_OVERLAP_HOURS = 24 * 90


@changes_provider()
def rotate_provider_credential(
    pk: UUID | str, credential: NewCredential, overlap_hours: int, *, by: User, is_tested: bool = True
) -> ProviderCredential:
    """Put a new credential in force, after a test with it; the one before stays valid for `overlap_hours`.

    Args:
        pk: id of the provider.
        credential: the new one.
        overlap_hours: 0 ends the old one at once. Older ones end with it.
        by: the person.
        is_tested: False saves without a test.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider, or may not name files and variables.
        ValidationError: the overlap is too long, the credential is the one in force, or the test failed.
        Conflict: somebody moved the provider meanwhile; the credential was meant for the place before.
    """
    seen = Provider.objects.visible_to(by).get(pk=pk)
    rotate_provider_credential.require(by, seen)
    require_may_enter(by, credential)
    if not 0 <= overlap_hours <= LONGEST_OVERLAP_HOURS:
        message = _("From 0 to %(most)d hours.") % {"most": LONGEST_OVERLAP_HOURS}
        raise ValidationError({"overlap_hours": message})
    report = require_reached(seen, credential) if is_tested else None
    with transaction.atomic():
        provider = lock_provider(pk, by)
        rotate_provider_credential.require(by, provider)
        require_same_place(provider, seen)
        moment = now()
        in_force = list(provider.credentials.in_force(moment).select_for_update())
        if in_force and is_same(in_force[0], credential):
            raise ValidationError({"credential": _("This is the credential that is in force already.")})
        _end_all(in_force, moment + timedelta(hours=overlap_hours))
        row = _saved(provider, credential, moment, by)
        note_report(provider, report)
        audit.record(
            "provider.credential_rotated",
            actor=by,
            subject=provider,
            credential=row.label,
            before=in_force[0].label if in_force else "",
            overlap_hours=overlap_hours,
            is_tested=report is not None,
        )
        raise_revision(routing=True)
    return row


def replace_credentials(provider: Provider, credential: NewCredential, *, by: User) -> ProviderCredential:
    """Make `credential` the only one in force of a locked provider, at once, inside the caller's transaction.

    If it is the one in force already, only the older ones end.
    """
    moment = now()
    in_force = list(provider.credentials.in_force(moment).select_for_update())
    if in_force and is_same(in_force[0], credential):
        _end_all(in_force[1:], moment)
        return in_force[0]
    _end_all(in_force, moment)
    return _saved(provider, credential, moment, by)


def _end_all(credentials: list[ProviderCredential], until: datetime) -> None:
    for old in credentials:
        if old.valid_until is None or old.valid_until > until:
            old.valid_until = until
            _erase_if_over(old)


def _saved(provider: Provider, credential: NewCredential, moment: datetime, by: User) -> ProviderCredential:
    row = row_of(provider, credential)
    row.made_by, row.valid_from = by, moment
    row.save(force_insert=True)
    return row


def _provider_of(credential: ProviderCredential) -> Provider:
    return credential.provider


def _require_replaced(by: User | None, credential: ProviderCredential) -> None:
    moment = now()
    if not credential.is_in_force(moment):
        raise Conflict(_("This credential has already ended."))
    others = credential.provider.credentials.in_force(moment).exclude(pk=credential.pk)
    if credential.provider.is_enabled and not others.exists():
        raise Conflict(
            _("This is the only credential in force. Enter a new one first, or disable the provider."),
            code="only_credential",
        )


@action(ProviderCredential, permission=MANAGE, on=_provider_of, state=_require_replaced)
@transaction.atomic
def end_provider_credential(pk: UUID | str, *, by: User) -> ProviderCredential:
    """End a credential now, instead of at its deadline, and erase it here. Revoke it at the provider as well.

    Raises:
        ProviderCredential.DoesNotExist: `by` cannot see such a credential.
        PermissionDenied: `by` may not manage its provider.
        Conflict: it has ended, or it is the only one of an enabled provider.
    """
    found = ProviderCredential.objects.visible_to(by).get(pk=pk)
    lock_provider(found.provider_id, by)
    credential = (
        ProviderCredential.objects.select_for_update(of=("self",)).select_related("provider").get(pk=pk)
    )
    end_provider_credential.require(by, credential)
    credential.valid_until = now()
    _erase_if_over(credential)
    audit.record(
        "provider.credential_ended", actor=by, subject=credential.provider, credential=credential.label
    )
    raise_revision(routing=True)
    return credential


def _erase_if_over(credential: ProviderCredential) -> None:
    """Save a changed end; what is over is erased, so that no later copy of the database holds it."""
    if credential.valid_until is not None and credential.valid_until <= now():
        credential.ciphertext = None
    credential.save(update_fields=["valid_until", "ciphertext"])


@transaction.atomic
def erase_ended_credentials() -> int:
    """Erase the ciphertexts of credentials whose deadline has passed; return how many. Safe to repeat.

    The configuration is made anew without them: the last one stays here, and at each gateway, until the next.
    """
    erased = ProviderCredential.objects.over(now()).update(ciphertext=None)
    if erased:
        raise_revision(routing=True)
    return erased
