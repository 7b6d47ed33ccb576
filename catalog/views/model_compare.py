"""Up to four models side by side, and what a day of tokens costs with each. The address holds the choice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.views.generic import TemplateView

from accounts.permissions import signed_in
from catalog.access import accesses
from catalog.comparison import Compared, Row, rows_of
from catalog.mix import Mix, own_mix
from catalog.models import CatalogModel, EvaluationScore
from catalog.prices import list_prices
from catalog.selection import Selection, names_in, percent
from catalog.views.model_list import project_of
from tenants.models import Project
from tenants.views.mixins import PartialMixin, TenantPageMixin

TOKENS_A_DAY = 1_000_000
MOST_TOKENS = 10**13


@dataclass(frozen=True)
class ComparePage:
    """What the comparison shows."""

    models: list[Compared]
    # Names in the address that are no models of the catalog.
    unknown: list[str]
    differing: list[Row]
    same: list[Row]
    tokens: int
    mix: Mix
    own_mix: Mix
    has_own_mix: bool
    project: Project | None
    # The catalog with the same choice.
    list_url: str


class ModelCompare(PartialMixin, TenantPageMixin, TemplateView):
    """The comparison. The same address serves the page and, for htmx, only the tables. A constant number of queries."""

    template_name = "catalog/model_compare.html"
    partial_name = "catalog/_model_comparison.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        given = self.request.GET
        names = names_in(given.getlist("model"))
        project = project_of(context, given.get("project", "").replace("\0", "")[:60])
        own = own_mix(self.tenant, project) if context["portal"].can_see_cost else Mix()
        selection = Selection(
            input=percent(given.get("input", "")),
            cached=percent(given.get("cached", "")),
            project=project.slug if project else "",
            compare=names,
        )
        mix, tokens = selection.mix(own), _tokens(given.get("tokens", ""))
        found = {one.name: one for one in CatalogModel.objects.published().filter(name__in=names)}
        models = [found[name] for name in names if name in found]
        prices = list_prices([model.name for model in models])
        access = accesses(signed_in(self.request), self.tenant, models, project=project)
        scores: dict[Any, dict[str, str]] = defaultdict(dict)
        for score in EvaluationScore.objects.filter(model__in=models):
            scores[score.model_id][score.label] = score.shown
        compared = [
            Compared(
                model=model,
                prices=prices.get(model.name, {}),
                access=access[model.pk],
                mix_price=mix.price_of(prices.get(model.name, {})),
                scores=scores[model.pk],
            )
            for model in models
        ]
        differing, same = rows_of(compared, tokens=tokens)
        return context | vars(
            ComparePage(
                models=compared,
                unknown=[name for name in names if name not in found],
                differing=differing if compared else [],
                same=same if compared else [],
                tokens=tokens,
                mix=mix,
                own_mix=own,
                has_own_mix=selection.input is not None or selection.cached is not None,
                project=project,
                list_url=selection.url(),
            )
        )


def _tokens(said: str) -> int:
    """The tokens of a day in an address; a usual number if there is none that makes sense."""
    cleaned = said.replace(",", "").strip()
    if cleaned.isascii() and cleaned.isdigit() and len(cleaned) <= len(str(MOST_TOKENS)):
        return min(int(cleaned), MOST_TOKENS)
    return TOKENS_A_DAY
