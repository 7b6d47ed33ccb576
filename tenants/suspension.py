"""Suspend the keys and tokens that a person may no longer hold.

A person who loses a role, a group or their account must not keep calling with their keys and tokens. Gateways
reject a suspended key from the next revision on; a suspended token stops at the next request. Nothing is lost:
`restore_access` brings back what the person may still hold. Apps above follow by `rights_changed` (tenants/signals.py).

Take several locks in this order: the tenant, the person, the rows themselves, the revision last.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from accounts.people import lock_person
from core.scope import platform_scope
from tenants.models import ApiKey, Membership, PersonalAccessToken, Project, ProjectRole, Tenant
from tenants.permissions import forget_permissions
from tenants.revision import raise_revision
from tenants.roles import NEVER_NARROWED, ROLE_PERMISSIONS
from tenants.signals import projects_that_follow
from tenants.stored_sentences import ISSUER_MAY_NOT

LONGEST_REASON = 200
HOLDERS = frozenset(role for role, permissions in ROLE_PERMISSIONS.items() if "claim_key" in permissions)


@transaction.atomic
def suspend_access(user: User, *, tenant: Tenant | None, reason: str, by: User | None) -> int:
    """Suspend the keys that `user` owns, their tokens and those they issued, and return how many. Safe to repeat.

    Args:
        tenant: only in this tenant (a token that is bound to no tenant keeps working: it has its owner's
            permissions, which they have lost); None means everywhere, including tokens bound to no tenant.
        reason: kept with each key and token, at most 200 characters; their owners and admins read it.
        by: None means the platform itself (a group mapping, a sweep).
    """
    lock_person(user)
    projects = projects_that_follow(user, tenant=tenant, by=by)
    keys = ApiKey.objects.across_tenants().filter(owner=user, suspended_at=None).exclude(state="revoked")
    tokens = tokens_known_to(user).filter(suspended_at=None, revoked_at=None)
    if tenant is not None:
        keys, tokens = keys.in_tenant(tenant), tokens.filter(tenant=tenant)
    changed = _Found(keys, tokens).suspend(user, reason=reason, by=by)
    _announce(projects)
    return changed


@transaction.atomic
def restore_access(user: User, *, tenant: Tenant | None, by: User | None) -> int:
    """Lift the suspension of what `user` may hold again, and return how many keys and tokens that is. Safe to repeat.

    A key comes back if its owner may claim keys now, and a token if its owner is still a member. A reactivated person
    therefore gets nothing back in a tenant that they have left. Inactive people get nothing, and neither do people
    whom the provider refused, until they sign in there again. A service account's token comes back if the account is
    active and its issuer may create such tokens now.

    Args:
        tenant: only in this tenant; None means everywhere, including tokens bound to no tenant.
    """
    is_active = lock_person(user)
    forget_permissions(user)
    projects = projects_that_follow(user, tenant=tenant, by=by)
    keys = ApiKey.objects.across_tenants().filter(owner=user, suspended_at__isnull=False)
    keys = keys.exclude(state="revoked")
    tokens = tokens_known_to(user).filter(suspended_at__isnull=False, revoked_at=None)
    if tenant is not None:
        keys, tokens = keys.in_tenant(tenant), tokens.filter(tenant=tenant)
    restored = _Found(keys, tokens).restore(user, by=by) if is_active else 0
    _announce(projects)
    return restored


@transaction.atomic
def follow_role(
    user: User,
    tenant: Tenant,
    *,
    project: Project | None = None,
    was_holder: bool = False,
    reason: str,
    by: User | None,
) -> int:
    """Adjust what `user` owns in `tenant` to a role that has just changed, and return how many keys and tokens change.

    Suspends keys that they may no longer hold, and restores those that they may hold again. The same applies to tokens
    that they issued for service accounts. Safe to repeat.

    Args:
        user: the member.
        tenant: the tenant.
        by: who changed the role; None means the platform.
        project: set if the role is a project role: only that project's keys change, and no tokens.
        was_holder: the former role let them claim keys. If the new one does not, their tokens for the tenant are
            suspended as well.
        reason: kept with what is suspended, at most 200 characters; their owners and admins read it.
    """
    is_active = lock_person(user)
    forget_permissions(user)
    projects = projects_that_follow(user, tenant=tenant, project=project, by=by)
    keys = ApiKey.objects.in_tenant(tenant).filter(owner=user).exclude(state="revoked")
    tokens = PersonalAccessToken.objects.filter(user=user, tenant=tenant, revoked_at=None)
    if project is not None:
        keys, tokens = keys.filter(project=project), tokens.none()
    else:
        tokens |= tokens_issued_by(user, tenant).filter(revoked_at=None)
    found = _Found(keys, tokens)
    is_demoted = was_holder and not user.has_perm("tenants.claim_key", tenant)
    lost, back = found.part(suspended=False), found.part(suspended=True)
    lost.keys = [key for key in lost.keys if not _may_hold(user, key)]
    may_issue = user.has_perm("tenants.manage_tokens", tenant)
    lost.tokens = [
        token for token in lost.tokens if (is_demoted if token.user_id == user.pk else not may_issue)
    ]
    if is_demoted:
        back.tokens = [token for token in back.tokens if token.user_id != user.pk]
    changed = lost.suspend(user, reason=reason, by=by)
    changed += back.restore(user, by=by) if is_active else 0
    _announce(projects)
    return changed


@transaction.atomic
def follow_issuer(user: User, *, reason: str, by: User | None) -> int:
    """Suspend or restore the tokens that `user` issued for service accounts, by what they may do now, in every tenant.

    Call it when a person gains or loses a staff role that lets them create tokens anywhere. Returns how many change.
    Safe to repeat.
    """
    is_active = lock_person(user)
    # Loaded again, without cached permissions.
    row = User.objects.get(pk=user.pk)
    found = _Found(ApiKey.objects.none(), tokens_issued_by(row).filter(revoked_at=None))
    lost, back = found.part(suspended=False), found.part(suspended=True)
    lost.tokens = [token for token in lost.tokens if not (is_active and _may_issue(row, token))]
    changed = lost.suspend(user, reason=reason, by=by)
    return changed + (back.restore(user, by=by) if is_active else 0)


def follow_staff_roles(sender: Any, *, user: User, reason: str, by: User | None, **kwargs: Any) -> None:
    """Receive accounts.signals.staff_roles_changed: suspend or restore the tokens that `user` issued, in every tenant.

    Args:
        sender: the sender of the signal.
        user: whose staff roles changed.
        reason: why, in words.
        by: who changed them; None means the platform.
    """
    with platform_scope("tokens that a member of the staff issued may be in any tenant"):
        follow_issuer(user, reason=reason, by=by)


def tokens_issued_by(user: User, tenant: Tenant | None = None) -> QuerySet[PersonalAccessToken]:
    """Return the tokens of service accounts (of `tenant`) that `user` issued and whose secrets they know."""
    tokens = PersonalAccessToken.objects.filter(issued_by=user, user__service_of__isnull=False)
    return tokens if tenant is None else tokens.filter(tenant=tenant)


def keys_lost_by(membership: Membership, role: str, *, project: Project | None = None) -> QuerySet[ApiKey]:
    """Return the keys to suspend if the member's role becomes `role`: in the tenant, or in `project`."""
    keys = ApiKey.objects.in_tenant(membership.tenant).current()
    keys = keys.filter(owner=membership.user_id, suspended_at=None)
    if membership.user.is_superuser or role in NEVER_NARROWED:
        return keys.none()
    if project is not None:
        return keys.none() if role in HOLDERS else keys.filter(project=project)
    narrowed = ProjectRole.objects.in_tenant(membership.tenant).filter(membership=membership)
    if role in HOLDERS:
        return keys.filter(project__in=narrowed.exclude(role__in=HOLDERS).values("project"))
    return keys.exclude(project__in=narrowed.filter(role__in=HOLDERS).values("project"))


def tokens_lost_by(membership: Membership, role: str) -> QuerySet[PersonalAccessToken]:
    """Return the tokens to suspend if the member's tenant role becomes `role`: their own and those they issued."""
    tokens = PersonalAccessToken.objects.current().filter(suspended_at=None)
    if membership.user.is_superuser:
        return tokens.none()
    lost = Q(pk=None)
    if membership.role in HOLDERS and role not in HOLDERS:
        lost |= Q(user=membership.user_id)
    if "manage_tokens" not in ROLE_PERMISSIONS[role] and not membership.user.has_perm(
        "tenants.manage_tokens"
    ):
        lost |= Q(issued_by=membership.user_id, user__service_of__isnull=False)
    return tokens.filter(lost, tenant=membership.tenant_id)


def lock_new_owner(user: User) -> None:
    """Lock a person who is about to own something, so that nobody removes their access before commit.

    Clears their cached permissions. Without the lock, a person could claim a key while being deactivated, and the key
    would remain active.

    Raises PermissionDenied if they are no longer active.
    """
    if not lock_person(user):
        raise PermissionDenied(_("Your account is no longer active."))
    forget_permissions(user)


class _Found:
    """Locked keys and tokens, in the order of their ids."""

    def __init__(self, keys: Any, tokens: Any) -> None:
        self.keys: list[ApiKey] = list(
            keys.select_related("tenant", "project").select_for_update(of=("self",)).order_by("pk")
        )
        self.tokens: list[PersonalAccessToken] = list(
            tokens.select_related("tenant", "user", "issued_by")
            .select_for_update(of=("self",))
            .order_by("pk")
        )

    def part(self, *, suspended: bool) -> _Found:
        """Return only the suspended ones, or only the others."""
        part = copy(self)
        part.keys = [key for key in self.keys if (key.suspended_at is not None) is suspended]
        part.tokens = [token for token in self.tokens if (token.suspended_at is not None) is suspended]
        return part

    def suspend(self, user: User, *, reason: str, by: User | None) -> int:
        mark = {"suspended_at": now(), "suspended_reason": reason[:LONGEST_REASON]}
        changed = self._update_and_record("access.suspended", mark, user=user, by=by, reason=reason)
        issued = [token.pk for token in self.tokens if token.user_id != user.pk]
        if issued:
            why = ISSUER_MAY_NOT(reason=reason)
            tokens = PersonalAccessToken.objects.filter(pk__in=issued)
            tokens.update(suspended_reason=why[:LONGEST_REASON])
        return changed

    def restore(self, user: User, *, by: User | None) -> int:
        """Lift the suspension of what the active `user` may hold."""
        if user.identities.filter(refused_at__isnull=False).exists():
            return 0
        self.keys = [key for key in self.keys if _may_hold(user, key)]
        self.tokens = [token for token in self.tokens if _may_work(token)]
        mark = {"suspended_at": None, "suspended_reason": ""}
        return self._update_and_record("access.restored", mark, user=user, by=by)

    def _update_and_record(
        self, verb: str, mark: dict[str, Any], *, user: User, by: User | None, **details: Any
    ) -> int:
        """Write `mark` on everything, record one audit entry per tenant, and notify the gateways of keys."""
        ApiKey.objects.across_tenants().filter(pk__in=[key.pk for key in self.keys]).update(**mark)
        PersonalAccessToken.objects.filter(pk__in=[token.pk for token in self.tokens]).update(**mark)
        prefixes: dict[UUID | None, dict[str, Any]] = defaultdict(lambda: {"keys": [], "tokens": []})
        tenants: dict[UUID | None, Tenant | None] = {}
        for kind, rows in (("keys", self.keys), ("tokens", self.tokens)):
            for row in rows:
                tenants[row.tenant_id] = row.tenant
                prefixes[row.tenant_id][kind].append(row.prefix or str(row))
        for tenant_id, said in prefixes.items():
            audit.record(verb, actor=by, subject=user, tenant=tenants[tenant_id], **details, **said)
        if self.keys:
            raise_revision(keys=[key.pk for key in self.keys])
        return len(self.keys) + len(self.tokens)


def _announce(projects: set[UUID]) -> None:
    if projects:
        raise_revision(projects=projects)


def _may_hold(user: User, key: ApiKey) -> bool:
    return user.has_perm("tenants.claim_key", key.project)


def tokens_known_to(user: User) -> QuerySet[PersonalAccessToken]:
    """Return the tokens of `user`, and those that they issued for service accounts."""
    return PersonalAccessToken.objects.filter(
        Q(user=user) | Q(issued_by=user, user__service_of__isnull=False)
    )


def _may_work(token: PersonalAccessToken) -> bool:
    """Whether a suspended token may work again: its owner is still a member, and its issuer may still create it."""
    owner = token.user
    if token.tenant is not None and not _belongs(owner, token.tenant):
        return False
    if not owner.is_service_account or token.issued_by is None:
        return True
    return owner.is_active and _may_issue(token.issued_by, token)


def _may_issue(user: User, token: PersonalAccessToken) -> bool:
    is_refused = user.identities.filter(refused_at__isnull=False).exists()
    return not is_refused and user.has_perm("tenants.manage_tokens", token.tenant)


def _belongs(user: User, tenant: Tenant) -> bool:
    return user.service_of_id == tenant.pk or user.memberships.filter(tenant=tenant).exists()
