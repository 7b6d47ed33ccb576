"""The header of pages outside a tenant: the person's tenants, and which of them are suspended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest

from accounts.models import User
from core.scope import person_scope, scoped
from tenants.models import Tenant

# The most tenants that the switcher lists. A search finds the others.
MOST_TENANTS: Final = 20
MOST_BANNERS: Final = 3


@dataclass(frozen=True)
class Header:
    """The tenants a person belongs to, and those that the page mentions."""

    # The tenant of the page, if an error occurred below /t/<tenant>/.
    tenant: Tenant | None
    tenants: Sequence[Tenant]
    has_more_tenants: bool
    # Suspended or closed tenants. The page says so.
    inactive_tenants: Sequence[Tenant]


def header_of(request: HttpRequest) -> Header | None:
    """Return what the header shows to its person. Returns None if nobody is signed in, if the database does not answer,
    and for htmx, which takes only the error from an error page.

    It shows only the person's own tenants. Staff find the others by searching.
    """
    if request.headers.get("HX-Request") == "true":
        return None
    try:
        # Requests for another host are rejected before the user is known.
        user = getattr(request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        with scoped(person_scope(user.pk, [])):
            return _header(user, slug_in(request.path_info))
    except DatabaseError:
        # This may be the page that reports the database error.
        return None


def _header(user: User, slug: str) -> Header:
    mine = Tenant.objects.filter(pk__in=user.own_tenants()).annotate(is_here=Q(slug=slug))
    tenants = list(mine.order_by("-is_here", "name", "pk")[: MOST_TENANTS + 1])
    here = tenants[0] if tenants and tenants[0].slug == slug else None
    suspended = mine.filter(status=Tenant.Status.SUSPENDED).order_by("name", "pk")
    return Header(
        tenant=here,
        tenants=tenants[:MOST_TENANTS],
        has_more_tenants=len(tenants) > MOST_TENANTS,
        inactive_tenants=[here] if here else list(suspended[:MOST_BANNERS]),
    )


def slug_in(path: str) -> str:
    """The tenant's slug in the path of one of its pages, whether there is such a tenant or not; else empty."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 3 and parts[1] == "t" else ""
