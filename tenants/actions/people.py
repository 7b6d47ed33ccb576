"""Deactivating and reactivating people."""

from __future__ import annotations

from uuid import UUID

import structlog
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts import sessions
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.scope import platform_scope
from tenants import suspension
from tenants.models import ApiKey, Membership, Tenant
from tenants.roles import Role
from tenants.signals import Impact, person_access_changed

log = structlog.get_logger(__name__)


def _require_other(by: User, person: User) -> None:
    if by.pk == person.pk:
        raise PermissionDenied(_("You cannot do this to your own account; another operator can."))
    if person.is_superuser and not by.is_superuser:
        raise PermissionDenied(_("Only a superuser can deactivate or reactivate a superuser."))


def _require_person(by: User | None, person: User) -> None:
    if person.is_service_account:
        raise Conflict(
            _("%(person)s is a service account. Remove it in its tenant, or revoke its keys there.")
            % {"person": person}
        )


@action(User, permission="accounts.manage_people", rule=_require_other, state=_require_person)
@transaction.atomic
def deactivate_person(user: User, *, by: User | None, reason: str) -> bool:
    """Deactivate `user`: their sessions end, and their keys and tokens are suspended in every tenant.

    Nothing is lost: they keep their roles and what they own until somebody transfers it, and `reactivate_person`
    restores what they may still hold. Service accounts that they answer for keep working; the tokens that they issued
    for service accounts are suspended like their own. The audit entry names these accounts, and each tenant that loses
    its last active owner. Safe to repeat: a repeated call suspends only what is new since.

    Args:
        by: None means the platform itself, such as a directory.
        reason: kept with each key and token; their owners and admins read it.

    Returns whether they were active before.

    Raises:
        PermissionDenied: `by` may not deactivate people, or is `user`; only superusers deactivate superusers.
        Conflict: `user` is a service account.
    """
    with platform_scope("deactivating a person reaches their keys in every tenant"):
        lock_owned_tenants(user.pk)
        row = _lock(user, by)
        deactivate_person.require(by, row)
        was_active = row.is_active
        if was_active:
            row.is_active = False
            row.save(update_fields=["is_active"])
        ended = sessions.end_sessions(row)
        suspended = suspension.suspend_access(row, tenant=None, reason=reason, by=by)
        if was_active:
            person_access_changed.send(User, user=row, is_active=False, reason=reason)
            left_alone = [tenant.slug for tenant in tenants_without_owner_but(row)]
            audit.record(
                "person.deactivated",
                actor=by,
                subject=row,
                reason=reason,
                sessions_ended=ended,
                suspended=suspended,
                tenants_without_owner=left_alone,
                service_accounts=[account.name for account in accounts_answered_for(row)],
            )
            if left_alone:
                log.warning("tenants_without_active_owner", tenants=left_alone, person=str(row.pk))
    user.is_active = False
    return was_active


def _require_not_erased(by: User | None, person: User) -> None:
    if person.erased_at is not None:
        raise Conflict(_("This person was erased. Invite them again."))


@action(User, permission="accounts.manage_people", rule=_require_other, state=_require_not_erased)
@transaction.atomic
def reactivate_person(user: User, *, by: User | None, reason: str) -> bool:
    """Reactivate `user` and lift the suspension of what they may still hold. Safe to repeat.

    Sessions stay ended, and what a person revoked stays revoked. Roles from group mappings are computed again within a
    minute.

    Returns whether they were inactive before.

    Raises:
        PermissionDenied: `by` may not reactivate people, or is `user`; only superusers reactivate superusers.
        Conflict: `user` was erased.
    """
    with platform_scope("reactivating a person reaches their keys in every tenant"):
        row = _lock(user, by)
        reactivate_person.require(by, row)
        was_inactive = not row.is_active
        if was_inactive:
            row.is_active = True
            row.save(update_fields=["is_active"])
            restored = suspension.restore_access(row, tenant=None, by=by)
            person_access_changed.send(User, user=row, is_active=True, reason=reason)
            audit.record("person.reactivated", actor=by, subject=row, reason=reason, restored=restored)
    user.is_active = True
    return was_inactive


def lock_owned_tenants(pk: UUID | str) -> None:
    """Lock the tenants that a person owns until commit. Call it before locking the person (the order of locks).

    Without it, another owner could leave while this one is deactivated, each counting on the other.
    """
    owned = Membership.objects.across_tenants().filter(user__pk=pk, role=Role.OWNER)
    tenants = Tenant.objects.filter(pk__in=owned.values("tenant")).order_by("pk")
    list(tenants.select_for_update(of=("self",), no_key=True))


def what_ends_for(user: User) -> list[Impact]:
    """Return what deactivating `user` ends or suspends, in numbers. The confirmation step shows it."""
    keys = ApiKey.objects.across_tenants().filter(owner=user, suspended_at=None).exclude(state="revoked")
    tokens = suspension.tokens_known_to(user).filter(suspended_at=None, revoked_at=None)
    return [
        Impact(_("Sessions"), sessions.live_sessions(user).count()),
        Impact(_("Keys"), keys.count()),
        Impact(_("Tokens"), tokens.filter(expires_at__gt=now()).count()),
    ]


def accounts_answered_for(user: User) -> list[User]:
    """Return the active service accounts that `user` answers for, by tenant and name. `user` may know their tokens."""
    accounts = User.objects.filter(responsible=user, is_active=True).select_related("service_of")
    return list(accounts.order_by("service_of__slug", "name", "pk"))


def tenants_without_owner_but(user: User) -> list[Tenant]:
    """Return the open tenants that `user` owns and that have no other active owner, by slug."""
    owners = Membership.objects.across_tenants().filter(role=Role.OWNER)
    others = owners.filter(user__is_active=True).exclude(user=user)
    return list(
        Tenant.objects.filter(pk__in=owners.filter(user=user).values("tenant"))
        .exclude(pk__in=others.values("tenant"))
        .exclude(status=Tenant.Status.CLOSED)
        .order_by("slug")
    )


def _lock(user: User, by: User | None) -> User:
    """Return the locked row of `user`. Raises PermissionDenied for a superuser if `by` is the platform (None)."""
    row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if row.is_superuser and by is None:
        raise PermissionDenied(_("Only a superuser can deactivate or reactivate a superuser."))
    return row
