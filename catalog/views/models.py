"""The page of one model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.generic import DetailView

from accounts.permissions import signed_in
from catalog import capabilities
from catalog.access import Access, accesses
from catalog.beside import BesideModel, beside_model
from catalog.mix import Mix, own_mix
from catalog.model_offers import OfferRow, offer_rows, primary_fact
from catalog.model_page import more_facts, policy_rows, source_rows, successor_row
from catalog.models import CatalogModel, EvaluationScore, ModelDocument, ModelVersion
from catalog.planned_words import ComingChange, coming_changes
from catalog.price_rows import PriceRow, example_of, price_rows
from catalog.prices import list_prices
from catalog.provenance import SOURCES, FactRow
from catalog.request_forms import AccessRequestForm
from core.dates import day_and_year
from core.markdown import cleaned
from core.page_parts import Badge, Fact
from tenants.models import Tenant
from tenants.views.mixins import TenantPageMixin

TABS = ("overview", "documentation", "prices", "policy", "versions", "use")


def badge_of(model: CatalogModel) -> Badge | None:
    """A model's badge; None in the normal state."""
    if model.lifecycle == CatalogModel.Lifecycle.PREVIEW:
        return Badge("new", _("Preview"), "sparkles")
    if not model.is_visible:
        return Badge("bad", _("Retired"), "calendar-x")
    if model.lifecycle == CatalogModel.Lifecycle.DEPRECATED:
        return Badge("warn", _("Deprecated"), "calendar-x")
    if model.deprecation_date:
        text = _("Retires %(date)s") % {"date": _day(model.deprecation_date)}
        return Badge("warn", text, "calendar-x")
    return None


@dataclass(frozen=True)
class ModelPage:
    """What a model's page shows."""

    tab: str
    access: Access
    badge: Badge | None
    facts: list[Fact]
    capabilities: list[dict[str, Any]]
    currency: str
    price_rows: list[PriceRow]
    example: dict[str, Any] | None
    price_source: str
    policy_rows: list[Fact]
    more_facts: list[Fact]
    sources: list[FactRow]
    versions: list[VersionRow]
    offers: list[OfferRow]
    lifecycle: list[Fact]
    beside: BesideModel
    coming: list[ComingChange]
    successor: Fact | None
    scores: list[EvaluationScore]
    has_document: bool
    document: DocumentPart | None


@dataclass(frozen=True)
class DocumentPart:
    """The documentation of a model as its tab shows it."""

    html: SafeString
    source_label: str
    at: datetime


@dataclass(frozen=True)
class VersionRow:
    """A row in the list of a model's versions."""

    label: str
    precision: str
    format: str
    parameters: int | None
    context_tokens: int | None
    # Name of its base; empty if it is no adapter.
    base: str
    digest: str
    published_on: date


class ModelDetail(TenantPageMixin, DetailView):  # type: ignore[type-arg]
    """One model: its facts, its prices, the data it may receive, and what the person may do with it."""

    model = CatalogModel
    slug_field, slug_url_kwarg = "name", "name"
    template_name = "catalog/model_detail.html"
    context_object_name = "model"

    def get_queryset(self) -> QuerySet[CatalogModel]:
        return CatalogModel.objects.offered_to([self.tenant])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        model = self.object
        tab = self.request.GET.get("tab", "overview")
        access = accesses(signed_in(self.request), self.tenant, [model])[model.pk]
        offers = list(model.offers.order_by("-is_primary", "provider", "region", "source_key"))
        primary = next((offer for offer in offers if offer.is_primary), None)
        prices = list_prices([model.name]).get(model.name, {})
        coming = coming_changes(model, self.get_queryset())
        follower = next(iter(successor_row(model, self.tenant, coming)), None)
        mix = own_mix(self.tenant) if context["portal"].can_see_cost else Mix()
        return (
            context
            | vars(
                ModelPage(
                    tab=tab if tab in TABS else "overview",
                    access=access,
                    badge=badge_of(model),
                    facts=[*_facts(model), *primary_fact(offers)],
                    capabilities=[
                        {"label": words, "icon_name": icon}
                        for flag, (words, icon) in capabilities.WORDS.items()
                        if model.capabilities.get(flag)
                    ],
                    currency="USD",
                    price_rows=price_rows(prices),
                    example=example_of(prices),
                    price_source=f"{primary.source}: {primary.source_key}" if primary and prices else "",
                    policy_rows=policy_rows(model, self.tenant),
                    more_facts=[*more_facts(model), *([follower] if follower else [])],
                    sources=source_rows(model),
                    versions=[
                        _version_row(version)
                        for version in model.versions.all()
                        .offered_to([self.tenant])
                        .select_related("model")
                        .prefetch_related(_bases_for(self.tenant))
                        .order_by("-created_at", "-pk")
                    ],
                    offers=offer_rows(offers, self.tenant),
                    lifecycle=_lifecycle(model),
                    beside=beside_model(model, signed_in(self.request), self.tenant, mix),
                    coming=coming,
                    successor=follower,
                    scores=list(model.scores.order_by("benchmark", "metric")),
                    has_document=ModelDocument.objects.filter(model=model).exists(),
                    document=_document(model) if tab == "documentation" else None,
                )
            )
            | request_form(self.request, self, model, access)
        )


def request_form(
    request: HttpRequest, page: TenantPageMixin, model: CatalogModel, access: Access
) -> dict[str, Any]:
    """The request panel's form, if this person can send it.

    Args:
        request: the request of the page.
        page: the view, which knows tenant and projects.
        model: the model to request.
        access: what the person may do with it.
    """
    if access.state != "requestable" and not access.may_ask_again:
        return {"form": None, "preview": None}
    form = AccessRequestForm(user=signed_in(request), tenant=page.tenant, model=model)
    return {"form": form, "data_classes": form.data_class_options(), "preview": None}


def _document(model: CatalogModel) -> DocumentPart | None:
    found = ModelDocument.objects.filter(model=model).first()
    if found is None:
        return None
    label = str(SOURCES.get(found.source, found.source))
    return DocumentPart(html=cleaned(found.html), source_label=label, at=found.at)


def _bases_for(tenant: Tenant) -> Prefetch[Any]:
    return Prefetch("base", ModelVersion.objects.offered_to([tenant]).select_related("model"))


def _version_row(version: ModelVersion) -> VersionRow:
    base = version.base
    return VersionRow(
        label=version.full_name,
        precision=version.precision,
        format=version.get_format_display(),
        parameters=version.parameters,
        context_tokens=version.context_tokens,
        # Without the name of one that the reader may not see.
        base="" if version.base_id is None else base.full_name if base else _("not offered to you"),
        digest=version.digest,
        published_on=version.created_at.date(),
    )


def _facts(model: CatalogModel) -> list[Fact]:
    return [
        Fact(_("Kind"), model.mode_label),
        Fact(_("Context"), _count(model.context_tokens)),
        Fact(_("Longest output"), _count(model.max_output_tokens)),
        Fact(_("Providers"), str(len(model.providers)) if model.providers else "—"),
    ]


def _lifecycle(model: CatalogModel) -> list[Fact]:
    facts = [Fact(_("State"), model.get_lifecycle_display())]
    if model.deprecation_date:
        facts.append(Fact(_("Retires"), _day(model.deprecation_date)))
    return facts


def _count(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens else _("not stated")


def _day(day: date) -> str:
    return day_and_year(day)
