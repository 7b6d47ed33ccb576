"""Emergency access: open it, end it, and review what was done with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from accounts.outbox.posting import tell
from accounts.second_factor import require_second_factor
from accounts.sessions import digest_of_session
from core.context import current_origin
from core.errors import Conflict
from core.names import read_line
from core.scope import platform_scope
from tenants.emergency_mail import EMERGENCY_ACCESS, owners_of
from tenants.models import EmergencyAccess, Tenant
from tenants.models.emergency import SHORTEST_REASON
from tenants.status import in_open_tenant, lock_tenant

LENGTHS: Final = (15, 60, 240)  # minutes
LONGEST_TEXT: Final = 500


def _require_at_keyboard(by: User, tenant: Tenant) -> None:
    require_second_factor(by, _("open emergency access"))
    if not current_origin.get().session:
        raise PermissionDenied(_("Open emergency access in a browser. It works only there."))


def _require_openable(by: User | None, tenant: Tenant) -> None:
    in_open_tenant(by, tenant)
    if EmergencyAccess.objects.in_tenant(tenant).open().filter(opened_by=by).exists():
        raise Conflict(
            _("You already have emergency access to %(tenant)s. End it first.") % {"tenant": tenant.name},
            code="already_open",
        )


@action(
    Tenant,
    permission="tenants.open_emergency_access",
    on=lambda tenant: tenant,
    rule=_require_at_keyboard,
    state=_require_openable,
)
@transaction.atomic
def open_emergency_access(pk: UUID | str, *, by: User, reason: str, minutes: int) -> EmergencyAccess:
    """Give `by` an owner's rights in a tenant for a while, in this browser session, and mail its owners.

    Args:
        pk: id of the tenant.
        reason: 10 to 500 characters. The tenant's people read it, and each action is recorded with it.
        minutes: 15, 60 or 240. It cannot be extended.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant.
        PermissionDenied: `by` may not open it, has no second factor, or does not use a browser.
        Conflict: the tenant is closed, or `by` has already opened it.
        ValidationError: the reason has another length, or `minutes` another value.
    """
    tenant = lock_tenant(pk, by=by)
    open_emergency_access.require(by, tenant)
    reason = _clean("reason", reason, least=SHORTEST_REASON)
    if minutes not in LENGTHS:
        raise ValidationError({"minutes": _("Choose 15 minutes, 1 hour or 4 hours.")})
    moment = now()
    access = EmergencyAccess.objects.create(
        tenant=tenant,
        opened_by=by,
        reason=reason,
        opened_at=moment,
        expires_at=moment + timedelta(minutes=minutes),
        session_digest=current_origin.get().session,
    )
    audit.record(
        "emergency_access.opened",
        actor=by,
        subject=access,
        acting_as="emergency_access",
        reason=reason,
        emergency_access=access.pk,
        minutes=minutes,
    )
    tell(EMERGENCY_ACCESS, owners_of(tenant.pk), subject=access, tenant=tenant)
    return access


def _require_own(by: User, access: EmergencyAccess) -> None:
    if access.opened_by_id != by.pk:
        raise PermissionDenied(
            _(
                "Only the person who opened emergency access can end it. To stop them, "
                "remove their staff role."
            )
        )


@action(EmergencyAccess, permission=None, rule=_require_own)
@transaction.atomic
def end_emergency_access(pk: UUID | str, *, by: User) -> EmergencyAccess:
    """End one's own emergency access from the next request on. Safe to repeat: ending it again changes nothing.

    Raises:
        EmergencyAccess.DoesNotExist: `by` cannot see it. PermissionDenied: somebody else opened it.
    """
    access = (
        EmergencyAccess.objects.visible_to(by)
        .select_for_update(of=("self",))
        .select_related("tenant", "opened_by")
        .get(pk=pk)
    )
    end_emergency_access.require(by, access)
    _end(access, by=by, how="by hand")
    return access


def end_at_sign_out(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """Receive Django's `user_logged_out`: end the emergency access that staff opened in this session."""
    if user is not None and user.is_staff:
        with platform_scope("emergency access ends with its session"):
            end_with_session(request, by=user)


def end_with_session(request: HttpRequest, *, by: User) -> None:
    """End what `by` opened in a session that ends now. (A revoked session also ends it, unrecorded.)"""
    if not (session := digest_of_session(request)):
        return
    accesses = EmergencyAccess.objects.across_tenants().filter(opened_by=by, session_digest=session)
    accesses = accesses.filter(ended_at=None, expires_at__gt=now()).select_related("tenant", "opened_by")
    with transaction.atomic():
        for access in accesses.select_for_update(of=("self",)).order_by("pk"):
            _end(access, by=by, how="signed out")


def _require_second_person(by: User, access: EmergencyAccess) -> None:
    if access.opened_by_id == by.pk:
        raise PermissionDenied(_("You opened this emergency access; someone else must review it."))


def _require_over(by: User | None, access: EmergencyAccess) -> None:
    if access.is_open:
        raise Conflict(_("It is still open. Review it when it has ended."), code="still_open")
    if access.reviewed_at is not None:
        raise Conflict(
            _("%(who)s has already reviewed it.") % {"who": access.reviewed_by}, code="already_reviewed"
        )


@action(
    EmergencyAccess,
    permission="tenants.review_emergency_access",
    on=lambda access: access.tenant,
    rule=_require_second_person,
    state=_require_over,
)
@transaction.atomic
def review_emergency_access(pk: UUID | str, *, by: User, remark: str) -> EmergencyAccess:
    """Record, as a second person, that `by` has reviewed what was done with an emergency access that is over.

    Raises:
        EmergencyAccess.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not review the access of others, or opened this one.
        Conflict: it is still open, or somebody has already reviewed it. ValidationError: no remark.
    """
    access = EmergencyAccess.objects.visible_to(by).with_status().select_for_update(of=("self",)).get(pk=pk)
    review_emergency_access.require(by, access)
    access.remark = _clean("remark", remark, least=1)
    access.reviewed_by, access.reviewed_at = by, now()
    access.save(update_fields=["remark", "reviewed_by", "reviewed_at"])
    audit.record("emergency_access.reviewed", actor=by, subject=access, remark=access.remark)
    return access


def _end(access: EmergencyAccess, *, by: User, how: str) -> None:
    moment = now()
    if access.ended_at is not None or access.expires_at <= moment:
        return
    access.ended_at = moment
    access.save(update_fields=["ended_at"])
    audit.record(
        "emergency_access.ended",
        actor=by,
        subject=access,
        acting_as="emergency_access",
        reason=access.reason,
        emergency_access=access.pk,
        how=how,
    )


def _clean(name: str, text: str, *, least: int) -> str:
    try:
        text = read_line(text)
    except ValidationError as error:
        raise ValidationError({name: error.messages}) from error
    if not least <= len(text) <= LONGEST_TEXT:
        raise ValidationError(
            {name: _("Enter %(least)d to %(most)d characters.") % {"least": least, "most": LONGEST_TEXT}}
        )
    return text
