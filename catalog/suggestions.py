"""What fields suggest of the catalog while a person types."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accounts.models import User
from catalog.models import CatalogModel
from core.choices import MOST
from core.prefix import begins_with
from tenants.models import Tenant
from tenants.permissions import projects_where


def offered_models(user: User, tenant: Tenant, term: str, within: UUID | None) -> list[tuple[Any, Any]]:
    """Models that the tenant may request, by the beginning of their title or name.

    Args:
        user: who types; people who may request nothing here get none.
        tenant: the tenant.
        term: what they typed so far.
        within: says nothing here.
    """
    if not projects_where(user, "tenants.request_access", tenant).exists():
        return []
    found = CatalogModel.objects.offered_to([tenant])
    found = found.filter(begins_with(term, ["title", "name"])) if term else found
    return list(found.order_by("title", "name").values_list("name", "title")[:MOST])
