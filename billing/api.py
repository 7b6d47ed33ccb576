"""Costs, usage and prices over HTTP: the same numbers as the pages, from the same queries."""

from __future__ import annotations

from typing import Any

from django.core import signing
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import require, signed_in
from billing.costs import cost_rows, freshness
from billing.estimates import with_estimates
from billing.models import Price
from billing.serializers import (
    CostPlaceSerializer,
    CostQuerySerializer,
    CostsSerializer,
    PriceSerializer,
    UsageSerializer,
)
from core.filters import MomentFilter
from core.query_parameters import query_of, takes
from tenants.api.base import visible_project, visible_tenant

NOTHING_USED: dict[str, Any] = {
    "cost": 0, "calls": 0, "unpriced_calls": 0, "estimated_calls": 0, "estimated_tokens": 0,
    "tokens": 0, "quantities": {},
}  # fmt: skip


def place_of(row: dict[str, Any], names: list[str]) -> str:
    """A cursor to the rows after this one. It is signed, so the API accepts only its own cursors."""
    return signing.dumps([names, [str(row[name]) for name in names]], salt="costs")


def read_place(cursor: str, names: list[str]) -> list[str]:
    """The group after which a page begins. Raises NotFound for a cursor that does not belong to this query."""
    try:
        made_for, values = signing.loads(cursor, salt="costs")
    except signing.BadSignature:
        raise NotFound(_("This cursor is invalid.")) from None
    if made_for != names:
        raise NotFound(_("This cursor is invalid."))
    return [str(value) for value in values]


class UsageView(APIView):
    """Usage of a tenant, grouped."""

    @takes(CostQuerySerializer)
    @extend_schema(operation_id="usage", responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        return Response(UsageSerializer(self.answer(request)).data)

    def answer(self, request: Request) -> dict[str, Any]:
        """The rows that match the query, and their total."""
        place = CostPlaceSerializer(data=query_of(request))
        place.is_valid(raise_exception=True)
        user = signed_in(request)
        tenant = visible_tenant(user, place.validated_data["tenant"])
        project = visible_project(user, tenant, place.validated_data.get("project"))
        require(user, "tenants.view_cost", tenant)
        serializer = CostQuerySerializer(data=query_of(request))
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        days, names, size = (tenant, asked["start"], asked["end"]), asked["group_by"], asked["page_size"]
        after = read_place(asked["cursor"], names) if asked["cursor"] else None
        found = cost_rows(*days, names, project=project, after=after, most=size + 1)
        rows = with_estimates(found[:size], *days, names, project=project)
        totals = cost_rows(*days, (), project=project)
        totals = with_estimates(totals, *days, (), project=project) or [NOTHING_USED]
        metered_to, final_up_to = freshness(tenant)
        query = request.query_params.copy()
        query["cursor"] = place_of(rows[-1], names) if len(found) > size else ""
        return {
            "tenant": tenant.slug,
            "start": asked["start"],
            "end": asked["end"],
            "timezone": tenant.timezone,
            "currency": tenant.currency,
            "metered_to": metered_to,
            "final_up_to": final_up_to,
            "rows": rows,
            "next": request.build_absolute_uri(f"?{query.urlencode()}") if query["cursor"] else None,
            "total": totals[0],
        }


class CostsView(UsageView):
    """Usage and cost of a tenant, grouped."""

    @takes(CostQuerySerializer)
    @extend_schema(operation_id="costs", responses=CostsSerializer)
    def get(self, request: Request) -> Response:
        return Response(CostsSerializer(self.answer(request)).data)


class PriceFilter(filters.FilterSet):  # type: ignore[misc]
    model = filters.CharFilter("sku__model__name", help_text="public name")
    kind = filters.CharFilter("sku__kind")
    at = MomentFilter("valid", "contains", help_text="prices in force at this moment")

    class Meta:
        model = Price
        fields = ("model", "kind", "at")


class PriceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Price]):
    """Prices, with the time range in which they apply. Prices are never edited; a change is a new version."""

    queryset = Price.objects.with_names()
    serializer_class = PriceSerializer
    filterset_class = PriceFilter
