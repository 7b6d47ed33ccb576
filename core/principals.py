"""Somebody signed in, as what lies below accounts knows them: accounts.models.User is one."""

from __future__ import annotations

from typing import Any, Protocol


class Principal(Protocol):
    """Who they are, and what decides what they may see."""

    @property
    def pk(self) -> Any: ...

    @property
    def name(self) -> Any: ...

    @property
    def email(self) -> Any: ...

    @property
    def is_active(self) -> Any: ...

    @property
    def is_authenticated(self) -> Any: ...

    @property
    def is_staff(self) -> Any: ...

    @property
    def is_superuser(self) -> Any: ...

    @property
    def is_service_account(self) -> bool: ...

    @property
    def staff_roles(self) -> frozenset[str]: ...

    @property
    def memberships(self) -> Any: ...

    def own_tenants(self) -> Any:
        """Ids of the tenants they belong to, as a subquery."""
