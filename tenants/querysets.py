"""Querysets of tenants, keys, invitations and emergency access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Exists, F, Func, IntegerField, OuterRef, Q
from django.utils.timezone import now

from accounts.models import Session, StaffRoleAssignment
from accounts.roles import StaffRole
from core.addresses import address_or_none
from core.prefix import begins_with
from core.tenant_managers import OwnedRow, Row, TenantQuerySet
from tenants.roles import ROLE_PERMISSIONS

if TYPE_CHECKING:
    from accounts.models import User
    from tenants.models.tenancy import Tenant


class TenantListQuerySet(models.QuerySet[Row]):
    """Queries for tenants."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The tenants that `user` may know exist: all for staff with any role, else those they are a member of."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_superuser or user.staff_roles:
            return self
        return self.filter(pk__in=user.own_tenants())


class ApiKeyQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for keys."""

    def claimable(self) -> Self:
        """Keys that somebody may still claim: not claimed, not revoked, not past their claim date."""
        return self.filter(state="claimable").filter(Q(claim_by=None) | Q(claim_by__gt=now()))

    def usable(self) -> Self:
        """Keys that open something: keys in use, of an active tenant."""
        return self.in_use().filter(tenant__status="active")

    def in_use(self) -> Self:
        """Keys that a gateway must know: claimed, and not revoked, suspended or expired."""
        return self.filter(state="active", suspended_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=now())
        )

    def current(self) -> Self:
        """Keys in use or waiting to be claimed."""
        return self.exclude(state="revoked").filter(Q(expires_at=None) | Q(expires_at__gt=now()))

    def ended(self) -> Self:
        """Keys that were revoked or have expired."""
        return self.filter(Q(state="revoked") | Q(expires_at__lte=now()))

    def begins_with(self, term: str, tenant: Tenant) -> Self:
        """Keys of a tenant whose name, visible prefix, project name or project slug begins with `term`."""
        projects = apps.get_model("tenants.Project").objects.in_tenant(tenant)
        found = projects.filter(begins_with(term, ["name", "slug"])).values_list("pk", flat=True)
        return self.filter(begins_with(term, ["name", "prefix"]) | Q(project__in=list(found[:50])))

    def with_names(self) -> Self:
        return self.select_related("project", "tenant", "created_for", "claimed_by", "owner")


class ConfigChangeQuerySet(models.QuerySet[Row]):
    """Queries about revisions of the configuration, which belong to the platform."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see them, none for everyone else."""
        return self if user.has_perm("tenants.view_configchange") else self.none()

    def with_counts(self) -> Self:
        """Adds how many rows of each kind gateways read again (`keys_count` …), and leaves out their ids.

        One revision can name all keys of the platform, such as at the end of a year that ends their grants.
        """
        names = ("tenants", "projects", "keys", "limits")
        counts = {
            f"{name}_count": Func(F(name), function="cardinality", output_field=IntegerField())
            for name in names
        }
        return self.defer(*names).annotate(**counts)


class InvitationQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for invitations."""

    def open(self) -> Self:
        """Neither accepted nor withdrawn. The link of an expired one opens nothing, but it can be sent again."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def acceptable(self) -> Self:
        """Open, not expired, and of an active tenant. (The action checks whether the inviter may still invite.)"""
        return self.open().filter(expires_at__gt=now(), tenant__status="active")

    def managed_by(self, user: User | AnonymousUser) -> Self:
        """Invitations that `user` may see and send again: those of tenants whose members they manage."""
        if not user.is_authenticated or user.is_service_account:
            return self.none()
        visible = self.visible_to(user)
        if user.has_perm("tenants.manage_members"):
            return visible
        managing = [role for role, permissions in ROLE_PERMISSIONS.items() if "manage_members" in permissions]
        return visible.filter(tenant__in=user.memberships.filter(role__in=managing).values("tenant"))

    def to(self, email: str) -> Self:
        return self.filter(email=address_or_none(email))


class DigestOfSession(Func):
    """`accounts.sessions.digest_of_session`, computed by PostgreSQL."""

    template = "encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')"
    output_field = models.CharField()


class EmergencyAccessQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for emergency access. Lost access does not return: a later session or assignment counts as new."""

    def open(self) -> Self:
        """Access that is effective now: not ended, not expired, and its session and tenant are still open."""
        sessions = Session.objects.filter(user=OuterRef("opened_by"), expire_date__gt=now())
        in_session = sessions.alias(digest=DigestOfSession(F("session_key"))).filter(
            digest=OuterRef("session_digest")
        )
        found = self.of_operators().filter(Exists(in_session), ended_at=None, expires_at__gt=now())
        return found.exclude(tenant__status="closed")

    def of_operators(self) -> Self:
        """Access whose opener has been an operator since, or is a superuser."""
        assigned = StaffRoleAssignment.objects.filter(
            user=OuterRef("opened_by"), role=StaffRole.OPERATOR, created_at__lte=OuterRef("opened_at")
        )
        return self.filter(
            Exists(assigned) | Q(opened_by__is_superuser=True),
            opened_by__is_active=True,
            opened_by__is_staff=True,
        )

    def with_status(self) -> Self:
        """Add the names that lists show, and whether each `is_open`."""
        still = type(self)(self.model).open().filter(pk=OuterRef("pk"))
        return self.select_related("tenant", "opened_by", "reviewed_by").annotate(is_open=Exists(still))
