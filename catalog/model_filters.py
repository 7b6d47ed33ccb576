"""What `GET /api/v1/models/` takes: the filters, the mix and the orders of the catalog's page."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request

from accounts.permissions import signed_in
from catalog.counts import chosen_condition
from catalog.facets import FACETS
from catalog.mix import PRICE, Mix
from catalog.models import CatalogModel
from catalog.querysets import VISIBLE_LIFECYCLES, CatalogModelQuerySet
from catalog.reader import Reader
from catalog.selection import MOST_CHOSEN
from core.filters import RepeatableTextFilter, WordsFilter
from core.pagination import KeysetPages
from tenants.models import DataClass, Tenant

Models = CatalogModelQuerySet[CatalogModel]
# By `sort`: the order, with a default for models without the value.
SORTS: Final = {
    "name": ("name",),
    "price": ("price_rank", "name"),
    "context": ("-context_rank", "name"),
    "newest": ("-created_at", "name"),
}
_PERCENT: Final = [MinValueValidator(0), MaxValueValidator(100)]
_LIFECYCLES: Final = [choice for choice in CatalogModel.Lifecycle.choices if choice[0] in VISIBLE_LIFECYCLES]


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": 100})
class PercentFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """A whole number of percents."""

    field_class = forms.IntegerField


@extend_schema_field({"type": "string", "format": "decimal"})
class AmountFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """An amount of money."""


class ModelFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the catalog. Repeated values match any, capabilities match all."""

    q = WordsFilter(
        method="search", label="Beginnings of words in name, title, maker, kind, provider or capability"
    )
    mode = django_filters.AllValuesMultipleFilter(label="chat, embedding, rerank, …")
    provider = RepeatableTextFilter(method="by_facet", label="openai, azure, bedrock, …")
    region = RepeatableTextFilter(method="by_facet", label="eu, us-east-1, …; eu includes eu-central-1")
    capability = RepeatableTextFilter(method="by_facet", label="vision, function_calling, …")
    data_class = django_filters.ChoiceFilter(
        choices=DataClass.choices, method="by_facet", label="Allowed at least"
    )
    context = django_filters.NumberFilter(
        field_name="context_tokens", lookup_expr="gte", min_value=0, label="Tokens of context, at least"
    )
    price = AmountFilter(
        method="up_to", min_value=0, label="US dollars for a million tokens of the mix, at most"
    )
    hosting = django_filters.ChoiceFilter(choices=CatalogModel.Hosting.choices)
    lifecycle = django_filters.ChoiceFilter(choices=_LIFECYCLES)
    access = django_filters.ChoiceFilter(
        choices=[("granted", "granted"), ("in_review", "in_review")],
        method="by_facet",
        label="One of your projects may use it, or has asked for it",
    )
    served = django_filters.ChoiceFilter(
        choices=[("yes", "yes"), ("no", "no")], method="by_facet", label="Answers calls of your tenants now"
    )
    input = PercentFilter(
        method="ignore", validators=_PERCENT, label="Percent of tokens that are input; 75 if left out"
    )
    cached = PercentFilter(
        method="ignore", validators=_PERCENT, label="Percent of the input that a cache has; 0 if left out"
    )
    sort = django_filters.ChoiceFilter(
        choices=[(name, name) for name in SORTS], method="ordered", label="name if left out"
    )

    def search(self, models: Models, name: str, value: str) -> Models:
        return models.search(value)

    def by_facet(self, models: Models, name: str, value: str) -> Models:
        return models.filter(chosen_condition(FACETS[name], self.reader, self._values(name)))

    def up_to(self, models: Models, name: str, value: Any) -> Models:
        return models.filter(FACETS[name].condition(self.reader, str(value)))

    def ordered(self, models: Models, name: str, value: str) -> Models:
        """Add the fields that the order names. The page sorts."""
        return models.annotate(
            price_rank=Coalesce(self.mix.price(), Value(10**9, PRICE)),
            context_rank=Coalesce("context_tokens", Value(0)),
        )

    def ignore(self, models: Models, name: str, value: Any) -> Models:
        """The mix narrows nothing: prices are compared by it."""
        return models

    @property
    def mix(self) -> Mix:
        """The mix of the request, which the form has read."""
        said = {name: self.form.cleaned_data.get(name) for name in ("input", "cached")}
        return replace(Mix(), **{name: percent for name, percent in said.items() if percent is not None})

    @cached_property
    def reader(self) -> Reader:
        user = signed_in(self.request)
        return Reader(user, list(Tenant.objects.filter(pk__in=user.own_tenants())), mix=self.mix)

    def _values(self, name: str) -> list[str]:
        """Every given value, once. The field itself validates only the last one."""
        values = list(dict.fromkeys(self.data.getlist(name)))
        if len(values) > MOST_CHOSEN:
            raise ValidationError({name: [_("Give at most %(most)s values.") % {"most": MOST_CHOSEN}]})
        if any("\0" in value for value in values):
            raise ValidationError({name: [_("Null characters are not allowed.")]})
        return values


class PagesOfModels(KeysetPages):
    """Pages in the order that `sort` names, and what a search without results probably meant."""

    did_you_mean: str | None = None

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return SORTS.get(request.query_params.get("sort", ""), SORTS["name"])

    def get_paginated_response(self, data: Any) -> Any:
        response = super().get_paginated_response(data)
        response.data["did_you_mean"] = self.did_you_mean
        return response

    def get_paginated_response_schema(self, schema: Any) -> Any:
        described = super().get_paginated_response_schema(schema)
        described["properties"]["did_you_mean"] = {
            "type": "string",
            "nullable": True,
            "description": "The words of `q` with a typo corrected, if they find nothing and these do.",
        }
        return described
