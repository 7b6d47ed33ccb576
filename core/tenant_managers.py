"""Queries for tenant data must state whose data they want (docs/style.md).

`objects` of a tenant-owned model has no `filter()` or `get()`: a query starts with `visible_to(user)`,
`in_tenant(tenant)` or, for work on nobody's behalf, `across_tenants()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Protocol, Self, TypeVar, cast

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models.manager import BaseManager
from django.utils.translation import gettext_lazy as _

from core.principals import Principal
from core.reading import Noted, note_tenant

if TYPE_CHECKING:
    from django.db.models.options import Options

# Staff roles (accounts/roles.py) that see every row unless a model says otherwise.
SEE_ALL_ROWS: Final = frozenset({"operator", "auditor"})

# The rows of a queryset: those of any model, or of tenant-owned models.
Row = TypeVar("Row", bound=models.Model, covariant=True)
OwnedRow = TypeVar("OwnedRow", bound="TenantOwned", covariant=True)
Rows = TypeVar("Rows", bound="TenantQuerySet[Any]")
RowsOfOwner = TypeVar("RowsOfOwner", bound="TenantQuerySet[Any]", covariant=True)


class TenantQuerySet(models.QuerySet[OwnedRow]):
    """The queries that every tenant-owned model supports."""

    def in_tenant(self, tenant: models.Model) -> Self:
        note_tenant(tenant.pk)
        return self.filter(tenant=tenant)

    def visible_to(self, user: Principal | AnonymousUser) -> Self:
        """Narrow to the rows that `user` may see: those of their tenants, or all for the model's staff roles."""
        if isinstance(user, AnonymousUser) or not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_superuser or user.staff_roles & self.model.visible_to_staff:
            return self
        return self.filter(tenant__in=user.own_tenants())


class HasQuerySet(Protocol[RowsOfOwner]):
    """A model that names the queryset for its rows."""

    @property
    def queryset_class(self) -> type[RowsOfOwner]: ...


class TenantManager(BaseManager[OwnedRow], Generic[OwnedRow, Rows]):
    """A manager without the methods of a queryset, as BaseManager has none: no query can lack a scope by mistake.

    `Rows` is the queryset that the model names as its `queryset_class`: `ApiKey.objects.in_tenant(tenant)` is an
    `ApiKeyQuerySet` of keys.
    """

    if TYPE_CHECKING:
        # At run time Django returns the manager itself for `ApiKey.objects`; here only the type comes from the model.
        def __get__(
            self, instance: Options[Any] | None, cls: type[HasQuerySet[RowsOfOwner]] | None = None
        ) -> TenantManager[OwnedRow, RowsOfOwner]: ...

    def get_queryset(self) -> Rows:
        return cast(Rows, self.model.queryset_class(self.model, using=self._db))

    def in_tenant(self, tenant: models.Model) -> Rows:
        return self.get_queryset().in_tenant(tenant)

    def visible_to(self, user: Principal | AnonymousUser) -> Rows:
        return self.get_queryset().visible_to(user)

    def across_tenants(self) -> Rows:
        """Every row; for work done on nobody's behalf: tasks, sweeps, operator reports."""
        return self.get_queryset()

    def none(self) -> Rows:
        """No rows."""
        return self.get_queryset().none()

    def create(self, **fields: Any) -> OwnedRow:
        return cast(OwnedRow, self.get_queryset().create(**fields))

    def bulk_create(self, rows: Iterable[OwnedRow], **options: Any) -> list[OwnedRow]:
        return self.get_queryset().bulk_create(rows, **options)

    def all(self) -> NoReturn:
        raise TypeError("Whose rows? Use visible_to(user), in_tenant(tenant) or across_tenants().")


class TenantOwned(Noted):
    """A row of one tenant. Subclasses with their own queries set `queryset_class`, never `objects`."""

    queryset_class: ClassVar[type[TenantQuerySet[Self]]] = TenantQuerySet
    visible_to_staff: ClassVar[frozenset[str]] = SEE_ALL_ROWS

    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, verbose_name=_("tenant"))

    # Django uses the first manager itself: in the admin, for uniqueness and for reverse relations.
    unscoped = models.Manager()
    objects: ClassVar[TenantManager[Self, TenantQuerySet[Self]]] = TenantManager()  # never redeclared

    class Meta:
        abstract = True
