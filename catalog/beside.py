"""What a model's page shows beside its facts: its measured quality, who uses it here, and models to look at as well."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import ngettext

from accounts.models import User
from catalog.mix import Mix
from catalog.models import CatalogModel, Grant
from catalog.neighbors import Neighbor, neighbors_of
from catalog.quality_words import MeasuredQuality, measured_quality
from core.joined import listed
from core.templatetags.qm import full
from tenants.models import Project, Tenant

MOST_NAMED = 5


@dataclass(frozen=True)
class BesideModel:
    """Besides the facts. `used_by` names projects that may call the model; empty if there are none."""

    quality: MeasuredQuality
    neighbors: list[Neighbor]
    used_by: str


def beside_model(model: CatalogModel, user: User, tenant: Tenant, mix: Mix) -> BesideModel:
    """What is beside a model on its page. The number of queries is constant.

    Args:
        model: the model.
        user: who looks: only projects whose grants they see are named.
        tenant: the tenant of the page.
        mix: what a million tokens are, to compare prices.
    """
    return BesideModel(
        quality=measured_quality(model, tenant),
        neighbors=neighbors_of(model, tenant, mix),
        used_by=_users(model, user, tenant),
    )


def _users(model: CatalogModel, user: User, tenant: Tenant) -> str:
    granted = Grant.objects.visible_to(user).in_tenant(tenant).in_force().filter(model=model)
    projects = Project.objects.in_tenant(tenant).filter(pk__in=granted.values("project"))
    names = listed(projects.order_by("name", "pk").values_list("name", flat=True)[:MOST_NAMED])
    if (others := projects.count() - MOST_NAMED) <= 0:
        return names
    words = ngettext("%(names)s and %(count)s more project", "%(names)s and %(count)s more projects", others)
    return words % {"names": names, "count": full(others)}
