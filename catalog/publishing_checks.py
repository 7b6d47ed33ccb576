"""What a model needs before it is published, as data: each check, what it found, and the page that mends it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog.model_facts import FACTS
from catalog.models import CatalogModel
from catalog.prices import list_prices
from catalog.serving import nothing_serves, regions_served
from core.joined import listed

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_POLICY: Final = ("prompts_go_to", "retention_days", "trains_on_data")


@dataclass(frozen=True)
class Known:
    """What the checks read besides the models' rows: names with list prices, and regions by served model."""

    priced: Collection[str]
    regions: Mapping[UUID, frozenset[str]]


@dataclass(frozen=True)
class PublishingCheck:
    """One thing that a published model needs: `missing` says what is not there, `found` says what is."""

    # Stable: the API and the audit log name it.
    name: str
    label: StrPromise
    # In words; empty if the check fails.
    found: Callable[[CatalogModel, Known], str]
    # What to say if it fails.
    missing: Callable[[CatalogModel], str]
    # The operators' page on which somebody mends it.
    path: Callable[[CatalogModel], str]


@dataclass(frozen=True)
class Checked:
    """The result of one check of one model."""

    name: str
    label: str
    passes: bool
    words: str
    path: str


def _facts_page(fact: str) -> Callable[[CatalogModel], str]:
    return lambda model: (
        f"{reverse('admin:catalog_catalogmodel_curate', args=[model.pk])}#id_{fact}" if model.pk else ""
    )


def _route_page(model: CatalogModel) -> str:
    return f"{reverse('admin:deployments_route_changelist')}?q={model.name}"


def _has_policy(model: CatalogModel) -> bool:
    return not any(getattr(model, name) in (None, "") for name in _POLICY)


def _policy_gaps(model: CatalogModel) -> str:
    gaps = [FACTS[name].label for name in _POLICY if getattr(model, name) in (None, "")]
    return _("Not stated: %(facts)s.") % {"facts": listed(gaps)}


def _regions(model: CatalogModel, known: Known) -> str:
    return listed(sorted({*model.regions, *known.regions.get(model.pk, ())}))


CHECKS: Final = (
    PublishingCheck(
        name="price",
        label=gettext_lazy("Price"),
        found=lambda model, known: _("It has a list price.") if model.name in known.priced else "",
        missing=lambda model: _("Without a list price its calls would cost nobody anything."),
        path=lambda model: f"{reverse('admin:billing_price_new_version')}?model={model.name}",
    ),
    PublishingCheck(
        name="region",
        label=gettext_lazy("Region"),
        found=_regions,
        missing=lambda model: _("No offer and no target of its route says in which region it runs."),
        path=_route_page,
    ),
    PublishingCheck(
        name="data_policy",
        label=gettext_lazy("Data policy"),
        found=lambda model, known: _("Stated.") if _has_policy(model) else "",
        missing=_policy_gaps,
        path=_facts_page("prompts_go_to"),
    ),
    PublishingCheck(
        name="licence",
        label=gettext_lazy("License"),
        found=lambda model, known: model.licence,
        missing=lambda model: _("Nobody has stated its license."),
        path=_facts_page("licence"),
    ),
    PublishingCheck(
        name="owner",
        label=gettext_lazy("Responsible"),
        found=lambda model, known: model.owner,
        missing=lambda model: _("Nobody is responsible for it."),
        path=_facts_page("owner"),
    ),
    PublishingCheck(
        name="served",
        label=gettext_lazy("Served"),
        found=lambda model, known: _("A gateway gets answers for it.") if model.pk in known.regions else "",
        missing=lambda model: nothing_serves(),
        path=_route_page,
    ),
)


def known_of(models: Collection[CatalogModel]) -> Known:
    """What the checks need to know of these models. Two queries, however many models."""
    return Known(
        priced=frozenset(list_prices([model.name for model in models])),
        regions=regions_served([model.pk for model in models]),
    )


def checked(model: CatalogModel, known: Known | None = None) -> list[Checked]:
    """Every check of a model as it stands in memory; `known` for checking many."""
    known = known or known_of([model])
    results = []
    for check in CHECKS:
        found = check.found(model, known)
        words = found or check.missing(model)
        results.append(Checked(check.name, str(check.label), bool(found), words, check.path(model)))
    return results


def missing_of(model: CatalogModel, known: Known | None = None) -> list[Checked]:
    """The checks that fail."""
    return [one for one in checked(model, known) if not one.passes]
