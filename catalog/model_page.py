"""What a model's page says of its facts: the data policy, the rest, and where each comes from."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.translation import gettext as _

from catalog.model_facts import FACTS, days_in_words
from catalog.models import CatalogModel
from catalog.planned_words import ComingChange
from catalog.provenance import FactRow, fact_rows
from core.page_parts import Fact
from tenants.models import DataClass, Tenant


def policy_rows(model: CatalogModel, tenant: Tenant) -> list[Fact]:
    """Which data the model may receive, where it goes, and what becomes of it; unknown facts say so."""
    unknown = _("not recorded yet; ask the platform team")
    kept = unknown if model.retention_days is None else days_in_words(model.retention_days)
    trained = {None: unknown, True: _("yes"), False: _("no")}[model.trains_on_data]
    return [
        Fact(_("Highest data class"), str(DataClass(model.highest_data_class).label)),
        Fact(
            _("Your tenant's limit"),
            _("%(tenant)s: %(class)s")
            % {"tenant": tenant.name, "class": DataClass(tenant.highest_data_class).label},
        ),
        Fact(_("Risk tier"), model.get_risk_tier_display()),
        Fact(_("Runs on"), model.host_label.capitalize()),
        Fact(_("Regions offered"), ", ".join(model.regions) or _("not stated by the providers")),
        Fact(_("Where prompts go"), model.prompts_go_to or unknown),
        Fact(_("Prompts are kept"), kept),
        Fact(_("Trained on prompts"), trained),
    ]


def more_facts(model: CatalogModel) -> list[Fact]:
    """The other facts that somebody has stated; the license and the successor as links."""
    found = []
    for name in ("licence", "family", "languages", "modalities_in", "modalities_out", "sla", "owner", "tags"):
        if value := getattr(model, name):
            url = model.licence_url if name == "licence" else ""
            found.append(Fact(FACTS[name].label, FACTS[name].shown(value), url))
    return found


def successor_row(model: CatalogModel, tenant: Tenant, coming: Sequence[ComingChange] = ()) -> list[Fact]:
    """The model that follows this one, or will with a planned change, if the tenant may see it."""
    named = [model.successor, *(change.successor for change in coming)]
    names = [name for name in named if name]
    follower = CatalogModel.objects.offered_to([tenant]).filter(name=names[-1]).first() if names else None
    if follower is None:
        return []
    url = reverse("model-detail", kwargs={"tenant": tenant.slug, "name": follower.name})
    return [Fact(FACTS["successor"].label, follower.title, url)]


def source_rows(model: CatalogModel) -> list[FactRow]:
    """Every fact that somebody has stated, with who and when; without those that operators alone read."""
    return [row for row in fact_rows(model) if row.source and not row.fact.is_internal]
