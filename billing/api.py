"""Costs, usage, prices and exports over HTTP: the same numbers as the pages, from the same queries."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import QuerySet
from django.http import FileResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import require, signed_in
from audit.filters import EntryFilter
from billing import exports
from billing.costs import cost_rows, freshness
from billing.estimates import with_estimates
from billing.kinds import KINDS
from billing.models import Export, Price
from billing.serializers import (
    CostPlaceSerializer,
    CostQuerySerializer,
    CostsSerializer,
    ExportPlaceSerializer,
    ExportSerializer,
    NewExportSerializer,
    PriceSerializer,
    UsageSerializer,
)
from billing.views import download
from privacy.audit_forms import PLATFORM, actor_of
from tenants.models import Project, Tenant
from tenants.roles import TokenScope


def visible_tenant(user: User, slug: str) -> Tenant:
    """The tenant by its slug; 404 when `user` may not know of it."""
    return get_object_or_404(Tenant.objects.visible_to(user), slug=slug)


def visible_project(user: User, tenant: Tenant, slug: str | None) -> Project | None:
    """The tenant's project by its slug, None for all of them; 404 when there is none that `user` may know."""
    if not slug:
        return None
    return get_object_or_404(Project.objects.visible_to(user).in_tenant(tenant), slug=slug)


NOTHING_USED: dict[str, Any] = {
    "cost": 0, "calls": 0, "unpriced_calls": 0, "estimated_calls": 0, "estimated_tokens": 0,
    "quantities": dict.fromkeys(KINDS, 0),
}  # fmt: skip


def place_of(row: dict[str, Any], names: list[str]) -> str:
    """A cursor to the rows after this one; signed, so that only ours are read."""
    return signing.dumps([names, [str(row[name]) for name in names]], salt="costs")


def read_place(cursor: str, names: list[str]) -> list[str]:
    """The group after which a page begins. Raises NotFound for a cursor that is not one of this question's."""
    try:
        made_for, values = signing.loads(cursor, salt="costs")
    except signing.BadSignature:
        raise NotFound(_("This cursor leads nowhere.")) from None
    if made_for != names:
        raise NotFound(_("This cursor leads nowhere."))
    return [str(value) for value in values]


class UsageView(APIView):
    """Usage of a tenant, grouped."""

    @extend_schema(operation_id="usage", parameters=[CostQuerySerializer], responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        return Response(UsageSerializer(self.answer(request)).data)

    def answer(self, request: Request) -> dict[str, Any]:
        """Rows and their total, of what the query asks."""
        place = CostPlaceSerializer(data=request.query_params)
        place.is_valid(raise_exception=True)
        user = signed_in(request)
        tenant = visible_tenant(user, place.validated_data["tenant"])
        project = visible_project(user, tenant, place.validated_data.get("project"))
        require(user, "tenants.view_cost", tenant)
        serializer = CostQuerySerializer(data=request.query_params)
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

    @extend_schema(operation_id="costs", parameters=[CostQuerySerializer], responses=CostsSerializer)
    def get(self, request: Request) -> Response:
        return Response(CostsSerializer(self.answer(request)).data)


def _filter_of(asked: dict[str, Any], tenant: Tenant | None) -> EntryFilter:
    """What of the audit log a file shall hold."""
    person = asked.get("person", "").strip().lower()
    return EntryFilter(
        actor=actor_of(person, (tenant.pk,) if tenant else None),
        is_platform=person == PLATFORM,
        action=asked.get("verb", ""),
        subject=asked.get("subject_id", ""),
    )


class CsvRenderer(BaseRenderer):
    """Lets a client ask for text/csv; the file itself is sent as it lies on disk."""

    media_type, format, charset = "text/csv", "csv", "utf-8"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        # What is rendered is a problem: the file itself is sent as it lies.
        return b"" if data is None else json.dumps(data).encode()


class JsonLinesRenderer(CsvRenderer):
    """The same for JSON Lines."""

    media_type, format = "application/jsonl", "jsonl"


@extend_schema_view(
    list=extend_schema(description="Reports you may see, newest first."),
    retrieve=extend_schema(description="A report's state and progress."),
)
class ExportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Export]):
    """Cost reports, and parts of the audit log, as files built in the background."""

    queryset = Export.unscoped.none()  # for the schema; get_queryset answers
    serializer_class = ExportSerializer
    token_scope = TokenScope.COSTS
    token_scope_to_read = TokenScope.READ
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Export]:
        user = signed_in(self.request)
        visible = Export.objects.visible_to(user).with_names()
        return visible.readable_by(user) if self.action == "list" else visible

    def get_object(self) -> Export:
        export = super().get_object()
        exports.file_for_download.require_permission(signed_in(self.request), export)
        return export

    @extend_schema(
        request=NewExportSerializer,
        responses={
            202: OpenApiResponse(ExportSerializer, description="Queued; ask at `Location` for progress.")
        },
    )
    def create(self, request: Request) -> Response:
        """Ask for a report. The answer's `Location` says how far it is."""
        place = ExportPlaceSerializer(data=request.data)
        place.is_valid(raise_exception=True)
        said, user = place.validated_data, signed_in(request)
        tenant = visible_tenant(user, said["tenant"]) if "tenant" in said else None
        project = visible_project(user, tenant, said.get("project")) if tenant else None
        is_of_costs = tenant is not None and said["kind"] == Export.Kind.COSTS
        if tenant is not None and is_of_costs:
            exports.ask_for_export.require(user, tenant)
        else:
            exports.ask_for_audit_export.require(user, Export(tenant=tenant, kind=said["kind"]))
        serializer = NewExportSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        if tenant is not None and is_of_costs:
            export = exports.ask_for_export(
                tenant,
                start_day=asked["start"],
                end_day=asked["end"],
                by=user,
                project=project,
                csv_format=asked["format"],
            )
        else:
            export = exports.ask_for_audit_export(
                tenant,
                kind=asked["kind"],
                start_day=asked["start"],
                end_day=asked["end"],
                by=user,
                entry_filter=_filter_of(asked, tenant).as_json(),
                csv_format=asked["format"],
            )
        location = request.build_absolute_uri(reverse("export-detail-api", args=[export.pk]))
        return Response(self.get_serializer(export).data, status=202, headers={"Location": location})

    @extend_schema(
        responses={
            (200, "text/csv"): OpenApiTypes.BINARY,
            (200, "application/jsonl"): OpenApiTypes.BINARY,
            409: OpenApiResponse(description="It is not ready, or the file has expired."),
        }
    )
    @action(
        detail=True,
        methods=["get"],
        renderer_classes=[CsvRenderer, JsonLinesRenderer],
        token_scope_to_read=TokenScope.COSTS,
    )
    def download(self, request: Request, pk: UUID) -> FileResponse:
        """The file of a finished report."""
        export = self.get_object()
        exports.file_for_download.require(signed_in(request), export)
        return download(export.pk, by=signed_in(request))


class PriceFilter(filters.FilterSet):  # type: ignore[misc]
    model = filters.CharFilter("sku__model__name", help_text="public name")
    kind = filters.CharFilter("sku__kind")
    at = filters.IsoDateTimeFilter("valid", "contains", help_text="prices in force at this moment")

    class Meta:
        model = Price
        fields = ("model", "kind", "at")


class PriceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Price]):
    """Prices, with the time they hold. They are never edited: a change is the next version."""

    queryset = Price.objects.with_names()
    serializer_class = PriceSerializer
    filterset_class = PriceFilter
