"""The catalog's pages: finding a model, and the details of one model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from time import monotonic
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.views.generic import DetailView, TemplateView

from accounts.permissions import signed_in
from catalog import capabilities
from catalog.access import Access, accesses
from catalog.beside import BesideModel, beside_model
from catalog.browse import PAGE_SIZE, Browser, Relaxed
from catalog.forms import AccessRequestForm
from catalog.mix import Mix, own_mix
from catalog.model_page import more_facts, policy_rows, source_rows, successor_row
from catalog.models import CatalogModel
from catalog.price_rows import PriceRow, example_of, price_rows
from catalog.prices import list_prices
from catalog.provenance import FactRow
from catalog.reader import Reader
from catalog.selection import Selection
from core.dates import day_and_year
from core.keyset import requested_page
from core.page_parts import Badge, Fact
from tenants.models import DataClass, Project
from tenants.views.mixins import PartialMixin, TenantPageMixin

TABS = ("overview", "prices", "policy", "versions", "use")
# Maximum number of projects to choose from. The address may name any other.
MOST_PROJECTS = 25


@dataclass(frozen=True)
class ModelListPage:
    """What the catalog page shows: the models found, and the filters."""

    projects: list[Project]
    project: Project | None
    project_options: list[dict[str, Any]]
    page: list[Card]
    total: int
    # Filters that stand between the reader and models, if the page has none.
    relaxed: list[Relaxed]
    # By which prices are compared, and what it is if the person chooses none.
    mix: Mix
    own_mix: Mix
    has_own_mix: bool
    # The words of the search, with a typo corrected.
    query: str
    typed: str
    # Searches for the words as typed; empty if nothing was corrected.
    as_typed_url: str
    facets: list[dict[str, Any]]
    chips: list[dict[str, Any]]
    clear_url: str
    sort: str
    sorts: list[dict[str, Any]]
    view: str
    cards_url: str
    table_url: str
    newer_url: str
    older_url: str
    currency: str
    elapsed: int


class ModelList(PartialMixin, TenantPageMixin, TemplateView):
    """Search, facets and cards. The same address serves the page and, for htmx, only the results."""

    template_name = "catalog/model_list.html"
    partial_name = "catalog/_model_results.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        begun = monotonic()
        context = super().get_context_data(**kwargs)
        selection = Selection.read(self.request.GET)
        projects = list(context["projects"][:MOST_PROJECTS])
        slug = selection.project.replace("\0", "")
        project = context["projects"].filter(slug=slug).first() if slug else None
        if project is not None and project not in projects:
            projects.append(project)
        own = own_mix(self.tenant, project) if context["portal"].can_see_cost else Mix()
        mix = selection.mix(own)
        browser = Browser(Reader(signed_in(self.request), [self.tenant], project, mix=mix), selection)
        page = requested_page(self.request, browser.models(), browser.order, size=PAGE_SIZE)
        as_typed_url = ""
        if not page.rows and (corrected := browser.corrected()):
            as_typed_url = selection.but(typed="1").url()
            browser, selection = corrected, corrected.selection
            page = requested_page(self.request, browser.models(), browser.order, size=PAGE_SIZE)
        facets = browser.facets()
        return context | vars(
            ModelListPage(
                projects=projects,
                project=project,
                project_options=_project_options(selection, projects),
                page=cards(self.request, self, page.rows, project, mix=mix),
                total=browser.counts.total,
                relaxed=browser.relaxed() if not page.rows else [],
                mix=mix,
                own_mix=own,
                has_own_mix=selection.input is not None or selection.cached is not None,
                query=selection.query,
                typed=Selection.read(self.request.GET).query,
                as_typed_url=as_typed_url,
                facets=facets,
                chips=browser.chips(facets),
                clear_url=selection.cleared().url(),
                sort=selection.sort,
                sorts=browser.sorts(),
                view=selection.view,
                cards_url=selection.but(view="cards").url(),
                table_url=selection.but(view="table").url(),
                newer_url=selection.url(before=page.before) if page.before else "",
                older_url=selection.url(after=page.after) if page.after else "",
                currency="USD",
                elapsed=round((monotonic() - begun) * 1000),
            )
        )


@dataclass(frozen=True)
class Card:
    """What a card or a table row shows about a model."""

    model: CatalogModel
    prices: dict[str, Decimal | None]
    # A million tokens of the reader's mix.
    mix_price: Decimal | None
    capabilities: list[str]
    data_class_label: str
    regions: list[str]
    access: Access
    badge: Badge | None
    mode_label: str
    deprecation_date: date | None


def cards(
    request: HttpRequest,
    page: TenantPageMixin,
    models: list[CatalogModel],
    project: Project | None,
    *,
    mix: Mix | None = None,
) -> list[Card]:
    """The cards of the models. Loads prices and access for all of them in three queries.

    Args:
        request: the request of the page.
        page: the view, which knows tenant and addresses.
        models: the models of the page.
        project: the project in the address; None: all.
        mix: what a million tokens are; None: the usual assumption.
    """
    mix = mix or Mix()
    prices = list_prices([model.name for model in models])
    access = accesses(signed_in(request), page.tenant, models, project=project)
    return [
        Card(
            model=model,
            prices={kind: prices.get(model.name, {}).get(kind) for kind in ("input", "output")},
            mix_price=mix.price_of(prices.get(model.name, {})),
            capabilities=capabilities.words(model.capabilities, most=3),
            data_class_label=_("Up to %(class)s") % {"class": DataClass(model.highest_data_class).label},
            regions=areas(model.regions),
            access=access[model.pk],
            badge=badge_of(model),
            mode_label=model.mode_label,
            deprecation_date=model.deprecation_date,
        )
        for model in models
    ]


MOST_AREAS = 4


def areas(regions: list[str]) -> list[str]:
    """The parts of the world of a model's regions, for a card: `eu` and `us`, not three of eleven data centers."""
    return sorted({region.split("-")[0] for region in regions})[:MOST_AREAS]


def badge_of(model: CatalogModel) -> Badge | None:
    """A model's badge; None in the normal state."""
    if model.lifecycle == CatalogModel.Lifecycle.PREVIEW:
        return Badge("new", _("Preview"), "sparkles")
    if not model.is_visible:
        return Badge("bad", _("Retired"), "calendar-x")
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


@dataclass(frozen=True)
class VersionRow:
    """A row in the list of a model's versions."""

    label: str
    precision: str
    digest: str
    published_on: date
    badge: Badge | None


@dataclass(frozen=True)
class OfferRow:
    """A row in the list of a model's offers."""

    provider: str
    name: str
    region: str
    context_tokens: int | None
    input: Decimal | None
    output: Decimal | None


class ModelDetail(TenantPageMixin, DetailView):  # type: ignore[type-arg]
    """One model: its facts, its prices, the data it may receive, and what the person may do with it."""

    model = CatalogModel
    slug_field, slug_url_kwarg = "name", "name"
    template_name = "catalog/model_detail.html"
    context_object_name = "model"

    def get_queryset(self) -> QuerySet[CatalogModel]:
        return CatalogModel.objects.published()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        model = self.object
        tab = self.request.GET.get("tab", "overview")
        access = accesses(signed_in(self.request), self.tenant, [model])[model.pk]
        offers = list(model.offers.order_by("-is_primary", "provider", "region", "source_key"))
        primary = next((offer for offer in offers if offer.is_primary), None)
        prices = list_prices([model.name]).get(model.name, {})
        mix = own_mix(self.tenant) if context["portal"].can_see_cost else Mix()
        return (
            context
            | vars(
                ModelPage(
                    tab=tab if tab in TABS else "overview",
                    access=access,
                    badge=badge_of(model),
                    facts=_facts(model),
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
                    more_facts=[*more_facts(model), *successor_row(model, self.tenant)],
                    sources=source_rows(model),
                    versions=[
                        VersionRow(
                            label=version.version,
                            precision=version.precision,
                            digest=version.digest,
                            published_on=version.created_at.date(),
                            badge=None,
                        )
                        for version in model.versions.order_by("-created_at")
                    ],
                    offers=[
                        OfferRow(
                            provider=offer.provider,
                            name=offer.source_key,
                            region=offer.region,
                            context_tokens=offer.facts.get("context_tokens"),
                            input=_price(offer.prices, "input"),
                            output=_price(offer.prices, "output"),
                        )
                        for offer in offers
                    ],
                    lifecycle=_lifecycle(model),
                    beside=beside_model(model, signed_in(self.request), self.tenant, mix),
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


def _project_options(selection: Selection, projects: list[Project]) -> list[dict[str, Any]]:
    everything = {
        "label": _("All projects"),
        "url": selection.but(project="").url(),
        "selected": not selection.project,
    }
    return [
        everything,
        *(
            {
                "label": project.name,
                "url": selection.but(project=project.slug).url(),
                "selected": selection.project == project.slug,
            }
            for project in projects
        ),
    ]


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


def _price(prices: dict[str, str], kind: str) -> Decimal | None:
    return Decimal(prices[kind]) if kind in prices else None


def _count(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens else _("not stated")


def _day(day: date) -> str:
    return day_and_year(day)
