"""Things people do with tenants, keys and tokens."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from guardian.shortcuts import assign_perm

from tenants import audit
from tenants.errors import Conflict
from tenants.models import ApiKey, Limit, Membership, PersonalAccessToken, Project, Tenant, User
from tenants.permissions import require
from tenants.revision import raise_revision
from tenants.roles import ROLE_PERMISSIONS, Role, StaffRole
from tenants.secrets import PERSONAL_TOKEN, digest, new_key_secret, new_secret, visible_prefix

LONGEST_TOKEN_LIFE = timedelta(days=365)


def role_group(tenant: Tenant, role: str) -> Group:
    """The group that carries `role` in `tenant`, made with its object permissions when first asked for."""
    group, is_new = Group.objects.get_or_create(name=f"tenant:{tenant.pk}:{role}")
    if is_new:
        for permission in ROLE_PERMISSIONS[role]:
            assign_perm(f"tenants.{permission}", group, tenant)
    return group


@transaction.atomic
def create_tenant(*, by: User | None, slug: str, name: str, **fields: object) -> Tenant:
    """Create an active tenant with its role groups. `by` None means the platform (set-up, import).

    Raises:
        PermissionDenied: `by` may not create tenants.
        ValidationError: `fields` name a time zone that there is not; one such would stop every snapshot.
    """
    if by is not None:
        require(by, "tenants.manage_members")
    if fields.get("timezone", "UTC") not in available_timezones():
        raise ValidationError({"timezone": "Use an IANA name, such as Europe/Berlin."})
    tenant = Tenant.objects.create(slug=slug, name=name, **fields)
    for role in Role.values:
        role_group(tenant, role)
    audit.record("tenant.created", actor=by, subject=tenant)
    return tenant


@transaction.atomic
def create_project(tenant: Tenant, *, by: User | None, slug: str, name: str, **fields: object) -> Project:
    """Create a project in `tenant`."""
    if by is not None:
        require(by, "tenants.manage_members", tenant)
    project: Project = Project.objects.create(tenant=tenant, slug=slug, name=name, **fields)
    audit.record("project.created", actor=by, subject=project)
    return project


@transaction.atomic
def add_member(tenant: Tenant, user: User, role: str, *, by: User | None) -> Membership:
    """Give `user` a role in `tenant`, replacing the one they had. Safe to repeat.

    Raises:
        PermissionDenied: `by` may not manage members here, or raises themselves.
    """
    if by is not None:
        require(by, "tenants.manage_members", tenant)
        if by.pk == user.pk:
            raise PermissionDenied("You cannot change your own role; another owner or admin can.")
    existing = Membership.objects.in_tenant(tenant).select_for_update().filter(user=user).first()
    if existing and existing.role == role:
        return existing  # type: ignore[no-any-return]
    if existing:
        user.groups.remove(role_group(tenant, existing.role))
        before, existing.role = existing.role, role
        existing.save(update_fields=["role"])
    else:
        before, existing = None, Membership.objects.create(tenant=tenant, user=user, role=role)
    user.groups.add(role_group(tenant, role))
    audit.record(
        "membership.changed" if before else "membership.added",
        actor=by,
        subject=existing,
        user=user.email,
        role=role,
        before=before,
    )
    return existing  # type: ignore[no-any-return]


@transaction.atomic
def make_staff(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Give `user` a platform-side role. Safe to repeat."""
    if by is not None and not by.is_superuser:
        raise PermissionDenied("Only a superuser gives staff roles.")
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.groups.add(Group.objects.get(name=StaffRole(role)))
    user.__dict__.pop("staff_roles", None)
    audit.record("staff_role.given", actor=by, subject=user, role=str(role))


@transaction.atomic
def set_limits(
    tenant: Tenant,
    values: dict[str, Decimal],
    *,
    by: User | None,
    project: Project | None = None,
    key: ApiKey | None = None,
    model: str = "",
) -> list[Limit]:
    """Set limits by kind on a tenant, a project or a key, for one model or (empty) all. Safe to repeat.

    Every limit that applies to a call is checked, so a project's limit never widens its tenant's.

    Raises:
        PermissionDenied: `by` may not change limits here.
        ValueError: the project or key is another tenant's.
    """
    if any(owned is not None and owned.tenant_id != tenant.pk for owned in (project, key)):
        raise ValueError(f"These limits are for {tenant}; the project or key is another tenant's.")
    if by is not None:
        require(by, "tenants.manage_limits", tenant)
    limits = []
    for kind, value in sorted(values.items()):
        limit, _ = Limit.objects.in_tenant(tenant).update_or_create(
            tenant=tenant, project=project, key=key, model=model, kind=kind, defaults={"value": value}
        )
        limits.append(limit)
    audit.record(
        "limits.set", actor=by, subject=key or project or tenant, tenant=tenant, model=model, values=values
    )
    raise_revision()
    return limits


@transaction.atomic
def prepare_api_key(
    project: Project, *, name: str, models: Iterable[str], created_for: User, expires_at: datetime | None
) -> ApiKey:
    """Make a key that waits to be claimed: it opens nothing and has no secret yet."""
    key: ApiKey = ApiKey.objects.create(
        tenant=project.tenant,
        project=project,
        name=name,
        model_names=sorted(models),
        created_for=created_for,
        expires_at=expires_at,
        claim_by=now() + settings.KEY_CLAIM_WINDOW,
    )
    audit.record(
        "api_key.prepared", actor=None, subject=key, models=key.model_names, created_for=created_for.email
    )
    return key


@transaction.atomic
def claim_api_key(pk: UUID | str, *, by: User) -> tuple[ApiKey, str]:
    """Make the secret of a waiting key and return it with the key. The secret is not stored: show it now.

    Raises:
        ApiKey.DoesNotExist: `by` cannot see such a key.
        PermissionDenied: `by` may not claim keys here.
        Conflict: it was claimed or revoked already, or its claim date has passed.
    """
    key: ApiKey = ApiKey.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
    require(by, "tenants.claim_key", key.tenant)
    if key.state == ApiKey.State.ACTIVE:
        raise Conflict(
            "This key has been claimed already and its secret is shown only once. "
            "If you lost it, revoke the key and ask for a new one.",
            code="already_claimed",
        )
    if key.claim_by and key.claim_by <= now():
        raise Conflict("The time to claim this key has passed. Ask for access again.", code="claim_expired")

    secret = new_key_secret()
    key.move_to(ApiKey.State.ACTIVE)
    key.prefix, key.digest = visible_prefix(secret), digest(secret)
    key.claimed_at, key.claimed_by = now(), by
    key.save(update_fields=["state", "prefix", "digest", "claimed_at", "claimed_by"])

    audit.record("api_key.claimed", actor=by, subject=key, prefix=key.prefix)
    raise_revision()
    return key, secret


@transaction.atomic
def revoke_api_key(pk: UUID | str, *, by: User, reason: str = "") -> ApiKey:
    """Stop a key for good; gateways refuse it as soon as they have read the new revision.

    Raises:
        ApiKey.DoesNotExist: `by` cannot see such a key.
        PermissionDenied: `by` may not revoke keys here.
        Conflict: it is revoked already.
    """
    key: ApiKey = ApiKey.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
    require(by, "tenants.revoke_key", key.tenant)
    key.move_to(ApiKey.State.REVOKED)
    key.revoked_at = now()
    key.save(update_fields=["state", "revoked_at"])

    audit.record("api_key.revoked", actor=by, subject=key, prefix=key.prefix, reason=reason)
    raise_revision()
    return key


@transaction.atomic
def issue_personal_access_token(user: User, *, name: str, life: timedelta) -> tuple[PersonalAccessToken, str]:
    """Make a token with which `user` speaks to the HTTP API. The secret is not stored: show it now.

    Raises:
        ValueError: `life` is longer than a year.
    """
    if life > LONGEST_TOKEN_LIFE:
        raise ValueError("A personal access token lives at most a year.")
    secret = new_secret(PERSONAL_TOKEN)
    token = PersonalAccessToken.objects.create(
        user=user, name=name, prefix=visible_prefix(secret), digest=digest(secret), expires_at=now() + life
    )
    audit.record("personal_access_token.issued", actor=user, subject=token, prefix=token.prefix)
    return token, secret
