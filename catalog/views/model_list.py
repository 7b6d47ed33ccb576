"""The catalog's list: search, facets and cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from time import monotonic
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from catalog import capabilities
from catalog.access import Access, accesses
from catalog.browse import PAGE_SIZE, Browser, Relaxed
from catalog.mix import Mix, own_mix
from catalog.models import CatalogModel
from catalog.prices import list_prices
from catalog.reader import Reader
from catalog.selection import MOST_COMPARED, Selection
from catalog.views.models import badge_of
from core.keyset import requested_page
from core.page_parts import Badge
from tenants.models import DataClass, Project
from tenants.views.mixins import PartialMixin, TenantPageMixin

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
    # Models chosen for comparing, whether more may be, and the address of the comparison if there are two.
    compared: list[dict[str, str]]
    # Those of other pages of the list, which its form has to name.
    compared_elsewhere: list[str]
    has_room: bool
    compare_url: str
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
        project = project_of(context, selection.project)
        if project is not None and project not in projects:
            projects.append(project)
        own = own_mix(self.tenant, project) if context["portal"].can_see_cost else Mix()
        mix = selection.mix(own)
        browser = Browser(
            Reader(signed_in(self.request), [self.tenant], project, mix=mix),
            selection,
        )
        page = requested_page(self.request, browser.models(), browser.order, size=PAGE_SIZE)
        as_typed_url = ""
        if not page.rows and (corrected := browser.corrected()):
            as_typed_url = selection.but(typed="1").url()
            browser, selection = corrected, corrected.selection
            page = requested_page(self.request, browser.models(), browser.order, size=PAGE_SIZE)
        facets, compared = browser.facets(), _compared(selection)
        return context | vars(
            ModelListPage(
                projects=projects,
                project=project,
                project_options=_project_options(selection, projects),
                page=cards(self.request, self, page.rows, project, mix=mix, compared=selection.compare),
                total=browser.counts.total,
                relaxed=browser.relaxed() if not page.rows else [],
                mix=mix,
                own_mix=own,
                has_own_mix=selection.input is not None or selection.cached is not None,
                query=selection.query,
                compared=compared,
                compared_elsewhere=[
                    one["name"] for one in compared if one["name"] not in {row.name for row in page.rows}
                ],
                has_room=len(selection.compare) < MOST_COMPARED,
                compare_url=selection.compare_url() if len(selection.compare) > 1 else "",
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
    is_compared: bool
    badge: Badge | None
    mode_label: str
    deprecation_date: date | None


def cards(
    request: HttpRequest,
    page: TenantPageMixin,
    models: list[CatalogModel],
    project: Project | None,
    *,
    mix: Mix,
    compared: tuple[str, ...],
) -> list[Card]:
    """The cards of the models. Loads prices and access for all of them in three queries.

    Args:
        request: the request of the page.
        page: the view, which knows tenant and addresses.
        models: the models of the page.
        project: the project in the address; None: all.
        mix: what a million tokens are.
        compared: names of the models chosen for comparing.
    """
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
            is_compared=model.name in compared,
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


def project_of(context: dict[str, Any], slug: str) -> Project | None:
    """The project of the tenant that an address names, if the person sees it."""
    found: Project | None = context["projects"].filter(slug=slug).first() if slug else None
    return found


def _compared(selection: Selection) -> list[dict[str, str]]:
    """The chosen models in the order of the address, each with the address without it. One query, if there are any."""
    if not selection.compare:
        return []
    titles = dict(
        CatalogModel.objects.published().filter(name__in=selection.compare).values_list("name", "title")
    )
    return [
        {"name": name, "title": titles[name], "remove_url": selection.without_compared(name).url()}
        for name in selection.compare
        if name in titles
    ]


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
