"""A project's limits over HTTP."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actions import set_limits
from tenants.api.base import InProjectFilter, VisibleMixin
from tenants.limits import binding_limits, models_of
from tenants.models import ApiKey, Limit, Project, Tenant
from tenants.pagination import CursorPages
from tenants.permissions import require, signed_in
from tenants.standing import check_active
from tenants.views.keyset import KeysetPage, page_of_parts

PAGE_SIZE = CursorPages.max_page_size


class _Pages(CursorPages):
    page_size = PAGE_SIZE


class LimitSerializer(serializers.ModelSerializer[Limit]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True, allow_null=True)
    key = serializers.PrimaryKeyRelatedField[ApiKey](read_only=True, allow_null=True)

    class Meta:
        model = Limit
        fields = ["id", "tenant", "project", "key", "model", "kind", "value", "is_hard", "created_at"]


class LimitViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Limit]):
    """Numbers that gateways enforce. `model` empty: all models together. Every limit that applies is checked."""

    model, serializer_class, filterset_class = Limit, LimitSerializer, InProjectFilter

    def get_queryset(self) -> QuerySet[Limit]:
        return super().get_queryset().select_related("tenant", "project")


def _wanted(kind: str) -> serializers.DecimalField:
    is_money = kind == Limit.Kind.MONEY_PER_MONTH
    return serializers.DecimalField(
        max_digits=20 if is_money else 12,
        decimal_places=8 if is_money else 0,
        required=False,
        allow_null=True,
        help_text="In the tenant's currency." if is_money else None,
    )


class NumbersSerializer(serializers.Serializer[Any]):
    """By kind: a number above 0, or null to take the limit away. What is left out stays."""

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        return {kind: _wanted(kind) for kind in Limit.Kind.values}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        numbers: dict[str, Any] = super().to_internal_value(data)
        if unknown := data.keys() - self.fields.keys():
            raise serializers.ValidationError({kind: ["There is no such kind."] for kind in sorted(unknown)})
        return numbers


class SetLimitsSerializer(serializers.Serializer[Any]):
    """Which calls of the project, and the numbers for them."""

    key = serializers.UUIDField(
        required=False, default=None, allow_null=True, help_text="A key of the project; null: all its keys."
    )
    model = serializers.CharField(
        max_length=120,
        required=False,
        default="",
        allow_blank=True,
        help_text="A model that the project has a key for; empty: all models together.",
    )
    limits = NumbersSerializer()

    def validate_key(self, pk: Any) -> ApiKey | None:
        project = self.context["project"]
        found: ApiKey | None = ApiKey.objects.in_tenant(project.tenant).filter(project=project, pk=pk).first()
        if pk is not None and found is None:
            raise serializers.ValidationError("This project has no such key.")
        return found

    def validate_model(self, name: str) -> str:
        if name and name not in models_of(self.context["project"]):
            raise serializers.ValidationError("This project has no key for such a model.")
        return name


_LINK = OpenApiParameter(
    "Link",
    location=OpenApiParameter.HEADER,
    response=[200],
    description='The pages before and after, as rel="prev" and rel="next" (RFC 8288); absent where there are none.',
)
LIMITS_SCHEMA = extend_schema(
    methods=["GET"],
    responses=LimitSerializer(many=True),
    parameters=[
        OpenApiParameter("q", description="Beginning of a model's name, or of a key's name or prefix."),
        OpenApiParameter("page_size", int, description=f"At most {PAGE_SIZE}, which is the default."),
        OpenApiParameter("before", description="A place in the list; `Link` has the whole addresses."),
        OpenApiParameter("after", description="A place in the list; `Link` has the whole addresses."),
        _LINK,
    ],
    description=(
        "The limits that can bind a call of this project: the tenant's, its own, and those of its keys, "
        f"{PAGE_SIZE} at a time; `Link` leads to the next ones."
    ),
)
SET_LIMITS_SCHEMA = extend_schema(
    methods=["PATCH"],
    request=SetLimitsSerializer,
    parameters=[_LINK],
    responses={
        200: LimitSerializer(many=True),
        409: OpenApiResponse(description="The tenant is suspended or closed; `detail` says why."),
    },
    description=(
        "Set limits of the project, or of one of its keys, for one model or all. Safe to repeat. They reach every "
        "gateway within seconds, and may be below what is used already. The answer is the first page of the list as "
        "it is now."
    ),
)


def project_limits(request: Request, project: Project) -> Response:
    """List what binds the project's calls, a page at a time; after a PATCH, as that left it."""
    asked = request.query_params if request.method == "GET" else {}
    if request.method == "PATCH":
        require(signed_in(request), "tenants.manage_limits", project)
        check_active(project.tenant)
        wanted = SetLimitsSerializer(data=request.data, context={"project": project})
        wanted.is_valid(raise_exception=True)
        said = wanted.validated_data
        set_limits(
            project.tenant,
            said["limits"],
            by=signed_in(request),
            project=None if said["key"] else project,
            key=said["key"],
            model=said["model"],
        )
    page = page_of_parts(
        binding_limits(project, signed_in(request), term=asked.get("q", "").strip()),
        size=_Pages().get_page_size(request) or PAGE_SIZE,
        before=asked.get("before", ""),
        after=asked.get("after", ""),
    )
    return Response(LimitSerializer(page.rows, many=True).data, headers=_links(request, page))


def _links(request: Request, page: KeysetPage) -> dict[str, str]:
    """The header that leads to the pages before and after."""
    links = []
    for rel, name, cursor in (("prev", "before", page.before), ("next", "after", page.after)):
        if cursor:
            query = request.query_params.copy()
            for place in ("before", "after"):
                query.pop(place, None)
            query[name] = cursor
            address = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
            links.append(f'<{address}>; rel="{rel}"')
    return {"Link": ", ".join(links)} if links else {}
