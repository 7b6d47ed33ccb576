"""What a change of a model touches: tenants and projects with grants in force, and open requests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from catalog.models import Grant, RequestItem

# Counting stops here: beyond it, people read "more than".
MOST: Final = 1000
# Tenants that a sentence names.
NAMED: Final = 5


@dataclass(frozen=True)
class ModelImpact:
    """Numbers up to MOST + 1, and the names of the first tenants with a grant."""

    tenants: int
    projects: int
    grants: int
    requests: int
    names: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.grants or self.requests)

    @property
    def words(self) -> str:
        """Two sentences: who uses it, and who asks for it."""
        used = _("In force: %(grants)s of %(tenants)s, for %(projects)s.") % {
            "grants": _of(self.grants, ngettext("%(n)s grant", "%(n)s grants", self.grants)),
            "tenants": _of(self.tenants, ngettext("%(n)s tenant", "%(n)s tenants", self.tenants)),
            "projects": _of(self.projects, ngettext("%(n)s project", "%(n)s projects", self.projects)),
        }
        named = _("Tenants: %(names)s.") % {"names": ", ".join(self.names)} if self.names else ""
        asked = _("Open requests: %(count)s.") % {"count": _of(self.requests, "%(n)s")}
        return " ".join(filter(None, [used, named, asked]))


def impact_of(models: Collection[UUID]) -> ModelImpact:
    """What these models have now. Five queries, each of which reads a bounded number of different values."""
    grants = Grant.objects.across_tenants().in_force().filter(model__in=models).order_by()
    items = RequestItem.objects.across_tenants().filter(is_open=True, model__in=models).order_by()
    names = grants.values_list("tenant__name", flat=True).distinct()[: NAMED + 1]
    found = sorted(names)
    return ModelImpact(
        tenants=_number(grants.values("tenant").distinct()),
        projects=_number(grants.values("project").distinct()),
        grants=_number(grants.values("pk")),
        requests=_number(items.values("access_request").distinct()),
        names=(*found[:NAMED], *(["…"] if len(found) > NAMED else [])),
    )


def _number(rows: QuerySet[Any, Any]) -> int:
    return rows[: MOST + 1].count()


def _of(count: int, words: str) -> str:
    number = _("more than %(number)s") % {"number": f"{MOST:,}"} if count > MOST else str(count)
    return words % {"n": number}
