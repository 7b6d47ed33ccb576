"""Why a model cannot take data of a class, or is in none of a tenant's regions."""

from __future__ import annotations

from django.utils.translation import gettext as _

from catalog.models import CatalogModel
from core.regions import is_allowed
from tenants.models import DataClass, Tenant


def data_class_problem(tenant: Tenant, model: CatalogModel, data_class: str) -> str | None:
    """Why data of this class may not go to the model; None if it may."""
    wanted = DataClass(data_class)
    for holder, highest in (
        (model.title, DataClass(model.highest_data_class)),
        (tenant.name, DataClass(tenant.highest_data_class)),
    ):
        if wanted.rank > highest.rank:
            return _("%(name)s is allowed up to %(highest)s data. Choose %(highest)s or lower.") % {
                "name": holder,
                "highest": highest.label,
            }
    return None


def region_problem(tenant: Tenant, model: CatalogModel) -> str | None:
    """Why the tenant's regions rule out the model; None if they do not."""
    if not tenant.regions or model.hosting == CatalogModel.Hosting.OURS:
        return None
    if any(is_allowed(region, tenant.regions) for region in model.regions):
        return None
    return _("No provider offers %(model)s in a region that %(tenant)s allows (%(regions)s).") % {
        "model": model.title,
        "tenant": tenant.name,
        "regions": ", ".join(tenant.regions),
    }
