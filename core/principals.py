"""The interface of a signed-in person for packages below accounts; accounts.models.User implements it."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from django.db.models import QuerySet


class Principal(Protocol):
    """A person's identity, and what determines what they may see."""

    @property
    def pk(self) -> UUID: ...

    @property
    def name(self) -> str: ...

    @property
    def email(self) -> str: ...

    @property
    def is_active(self) -> bool: ...

    @property
    def is_authenticated(self) -> bool: ...

    @property
    def is_staff(self) -> bool: ...

    @property
    def is_superuser(self) -> bool: ...

    @property
    def is_service_account(self) -> bool: ...

    @property
    def staff_roles(self) -> frozenset[str]: ...

    @property
    def memberships(self) -> Any: ...

    def own_tenants(self) -> QuerySet[Any, Any]:
        """Ids of the tenants they belong to, as a subquery."""
