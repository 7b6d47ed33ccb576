"""A project's limits over HTTP."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from core.pagination import LINK, PAGE_SIZE, PLAIN_PAGE, PLAIN_PAGE_PARAMETERS, plain_page
from core.query_parameters import takes
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.actions import set_limits
from tenants.api.base import InProjectFilter, VisibleMixin
from tenants.limits import binding_limits, models_of
from tenants.models import ApiKey, Limit, Project, Tenant


class LimitSerializer(StrictModelSerializer[Limit]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True, allow_null=True)
    key = serializers.PrimaryKeyRelatedField[ApiKey](read_only=True, allow_null=True)

    class Meta:
        model = Limit
        fields = ["id", "tenant", "project", "key", "model", "kind", "value", "is_hard", "created_at"]


class LimitViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Limit]):
    """Limits that gateways enforce. `model` empty: all models together. Gateways check every limit that applies."""

    model, serializer_class, filterset_class = Limit, LimitSerializer, InProjectFilter

    def get_queryset(self) -> QuerySet[Limit]:
        return super().get_queryset().select_related("tenant", "project")


_HELP = {
    Limit.Kind.MONEY_PER_MONTH: "In the tenant's currency.",
} | dict.fromkeys(
    (Limit.Kind.TOKENS_PER_MINUTE, Limit.Kind.TOKENS_PER_DAY, Limit.Kind.TOKENS_PER_MONTH),
    "Binds only calls that are counted in tokens. Pictures, sound and searches may be counted by the piece, second or "
    "character; limit their requests or money.",
)


def _wanted(kind: str) -> serializers.DecimalField:
    is_money = kind == Limit.Kind.MONEY_PER_MONTH
    return serializers.DecimalField(
        max_digits=20 if is_money else 12,
        decimal_places=8 if is_money else 0,
        required=False,
        allow_null=True,
        help_text=_HELP.get(Limit.Kind(kind)),
    )


class NumbersSerializer(StrictSerializer):
    """By kind: a number above 0, or null to remove the limit. Omitted kinds stay."""

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        return {kind: _wanted(kind) for kind in Limit.Kind.values}


class SetLimitsSerializer(StrictSerializer):
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
        found = ApiKey.objects.in_tenant(project.tenant).filter(project=project, pk=pk).first()
        if pk is not None and found is None:
            raise serializers.ValidationError(_("This project has no such key."))
        return found

    def validate_model(self, name: str) -> str:
        if name and name not in models_of(self.context["project"]):
            raise serializers.ValidationError(_("This project has no key for such a model."))
        return name


TERM = OpenApiParameter("q", description="Beginning of a model's name, or of a key's name or prefix.")
TAKES_OF_LIMITS = takes(TERM, *PLAIN_PAGE_PARAMETERS)
TAKES_TO_SET_LIMITS = takes(TERM, PAGE_SIZE, http_method="PATCH")
LIMITS_SCHEMA = extend_schema(
    methods=["GET"],
    responses=LimitSerializer(many=True),
    description=(
        "The limits that can apply to a call of this project: the tenant's, its own, and those of its "
        f"keys, {PLAIN_PAGE} at a time; `Link` leads to the next ones."
    ),
)
SET_LIMITS_SCHEMA = extend_schema(
    methods=["PATCH"],
    request=SetLimitsSerializer,
    parameters=[LINK],
    responses={
        200: LimitSerializer(many=True),
        409: OpenApiResponse(description="The tenant is suspended or closed; `detail` says why."),
    },
    description=(
        "Set limits of the project, or of one of its keys, for one model or all. Safe to repeat. They "
        "reach every gateway within seconds, and may be below current usage. The answer is the first "
        "page of the resulting list."
    ),
)


def project_limits(request: Request, project: Project) -> Response:
    """List the limits that apply to the project's calls, a page at a time. After a PATCH, list the new state."""
    if request.method == "PATCH":
        set_limits.require(signed_in(request), Limit(tenant=project.tenant, project=project))
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
    limits = binding_limits(project, signed_in(request), term=request.query_params.get("q", "").strip())
    return plain_page(request, limits, LimitSerializer)
