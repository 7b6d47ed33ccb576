"""Tenant data cannot be asked for without saying whose (docs/style.md).

`objects` of a tenant-owned model has no `filter()` or `get()`: a question starts with `visible_to(user)`,
`in_tenant(tenant)` or, for work on nobody's behalf, `across_tenants()`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NoReturn, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models.manager import BaseManager

from core.principals import Principal
from core.reading import Noted, note_tenant

# Staff roles (accounts/roles.py) that see every row unless a model says otherwise.
SEE_ALL_ROWS: Final = frozenset({"operator", "auditor"})


class TenantQuerySet(models.QuerySet[Any]):
    """Questions every tenant-owned model answers."""

    def in_tenant(self, tenant: models.Model) -> Self:
        note_tenant(tenant.pk)
        return self.filter(tenant=tenant)

    def visible_to(self, user: Principal | AnonymousUser) -> Self:
        """Narrow to the rows `user` may know exist: their tenants', or all for the model's staff roles."""
        if isinstance(user, AnonymousUser) or not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_superuser or user.staff_roles & self.model.visible_to_staff:
            return self
        return self.filter(tenant__in=user.own_tenants())


class TenantManager(BaseManager[Any]):
    """BaseManager, unlike Manager, brings no queryset methods: there is no unscoped question to forget."""

    def get_queryset(self) -> Any:
        return self.model.queryset_class(self.model, using=self._db)

    def in_tenant(self, tenant: models.Model) -> Any:
        return self.get_queryset().in_tenant(tenant)

    def visible_to(self, user: Principal | AnonymousUser) -> Any:
        return self.get_queryset().visible_to(user)

    def across_tenants(self) -> Any:
        """Every row; for work done on nobody's behalf: tasks, sweeps, operator reports."""
        return self.get_queryset()

    def none(self) -> Any:
        """No rows; nobody's."""
        return self.get_queryset().none()

    def create(self, **fields: Any) -> Any:
        return self.get_queryset().create(**fields)

    def bulk_create(self, rows: Any, **options: Any) -> Any:
        return self.get_queryset().bulk_create(rows, **options)

    def all(self) -> NoReturn:
        raise TypeError("Whose rows? Use visible_to(user), in_tenant(tenant) or across_tenants().")


class TenantOwned(Noted):
    """A row of one tenant. Subclasses with their own questions set `queryset_class`, never `objects`."""

    queryset_class: ClassVar[type[TenantQuerySet]] = TenantQuerySet
    visible_to_staff: ClassVar[frozenset[str]] = SEE_ALL_ROWS

    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT)

    unscoped = models.Manager()  # first, hence Django's own: admin, uniqueness, reverse relations
    objects = TenantManager()  # never redeclared

    class Meta:
        abstract = True
