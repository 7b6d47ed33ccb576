"""Exports over HTTP: order, watch and download them as on the pages."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import FileResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from core.errors import InsufficientScope
from exports.actions import file_for_download
from exports.kinds import all_kinds, kind_named
from exports.models import Export
from exports.serializers import ExportPlaceSerializer, ExportSerializer, NewExportSerializer
from exports.views import download
from tenants.api.base import visible_project, visible_tenant
from tenants.roles import TokenScope
from tenants.token_authentication import has_scope


class CsvRenderer(BaseRenderer):
    """Lets a client request text/csv. The file itself is sent unchanged from disk."""

    media_type, format, charset = "text/csv", "csv", "utf-8"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        # Only problems are rendered: the file itself is sent from disk.
        return b"" if data is None else json.dumps(data).encode()


class JsonLinesRenderer(CsvRenderer):
    """Lets a client request JSON Lines."""

    media_type, format = "application/jsonl", "jsonl"


@extend_schema_view(
    list=extend_schema(description="Reports you may see, newest first."),
    retrieve=extend_schema(description="A report's state and progress."),
)
class ExportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Export]):
    """Cost reports and parts of the audit log, as files built in the background."""

    # Only for the schema; get_queryset returns the rows.
    queryset = Export.unscoped.none()
    serializer_class = ExportSerializer
    # Besides these, a token needs the scope of the kind.
    token_scope = TokenScope.COSTS
    token_scope_to_read = TokenScope.READ
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Export]:
        user = signed_in(self.request)
        kinds = [kind.name for kind in all_kinds() if has_scope(self.request, kind.scope)]
        return Export.objects.visible_to(user).readable_by(user).of_kinds(*kinds).with_names()

    def get_object(self) -> Export:
        export = super().get_object()
        file_for_download.require_permission(signed_in(self.request), export)
        return export

    @extend_schema(
        request=NewExportSerializer,
        responses={
            202: OpenApiResponse(ExportSerializer, description="Queued; ask at `Location` for progress.")
        },
    )
    def create(self, request: Request) -> Response:
        """Order a report. The answer's `Location` shows its progress."""
        place = ExportPlaceSerializer(data=request.data)
        place.is_valid(raise_exception=True)
        said, user = place.validated_data, signed_in(request)
        kind = kind_named(said["kind"])
        if not has_scope(request, kind.scope):
            raise InsufficientScope(kind.scope)
        tenant = visible_tenant(user, said["tenant"]) if "tenant" in said else None
        # NewExportSerializer rejects a project of any other request.
        slug = said.get("project") if kind.has_projects else None
        project = visible_project(user, tenant, slug) if tenant else None
        kind.action.require(user, Export(tenant=tenant, kind=kind.name))
        wanted = NewExportSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        export = kind.ask(tenant, wanted.validated_data, by=user, project=project)
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
        file_for_download.require(signed_in(request), export)
        return download(export.pk, by=signed_in(request))
