"""Routes over HTTP: which targets serve a model, with which weight and in which order."""

from __future__ import annotations

from typing import Any

from django.utils.functional import SimpleLazyObject
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.serving import acknowledged_revisions
from core.serializers import StrictModelSerializer, StrictSerializer
from deployments import degrading, fallbacks, route_handling, routes
from deployments.api import PlatformScopedMixin
from deployments.degrading import Degrading
from deployments.models import Deployment, Route, Sharing
from deployments.models.routes import MOST_FIRST_TOKEN_MS, MOST_PRIORITY, MOST_WEIGHT
from deployments.route_preview import preview_route


class RouteEntrySerializer(StrictSerializer):
    """A target of a route: its share of the calls, where it runs, whose calls it serves, and its health."""

    target = serializers.UUIDField(source="target_id", read_only=True)
    name = serializers.CharField(source="target.name", read_only=True)
    kind = serializers.CharField(source="target.kind", read_only=True)
    weight = serializers.IntegerField(read_only=True)
    priority = serializers.IntegerField(read_only=True)
    variant = serializers.CharField(
        read_only=True, help_text="What clients name to have their calls go there only."
    )
    upstream_model = serializers.CharField(source="target.upstream_model", read_only=True)
    regions = serializers.ListField(source="target.regions", child=serializers.CharField(), read_only=True)
    sharing = serializers.ChoiceField(
        source="target.sharing", choices=Sharing.choices, read_only=True, allow_null=True
    )
    only_tenant = serializers.CharField(source="target.only_tenant.slug", read_only=True, allow_null=True)
    state = serializers.ChoiceField(
        source="target.state", choices=Deployment.State.choices, read_only=True, allow_null=True
    )
    addresses = serializers.ListField(source="target.urls", child=serializers.CharField(), read_only=True)


class GatewaysSerializer(StrictSerializer):
    """Gateways that are alive, and those of them that follow the route as it was last changed."""

    alive = serializers.IntegerField()
    following = serializers.IntegerField()


class HandlingSerializer(StrictModelSerializer[Route]):
    """How the calls of a route are handled; null, or empty `probes`, means the default."""

    class Meta:
        model = Route
        fields = list(Route.HANDLING)


class WantedHandlingSerializer(HandlingSerializer):
    """The settings that shall change. `generation` is the one that you read before."""

    generation = serializers.IntegerField(min_value=0, required=True)

    class Meta(HandlingSerializer.Meta):
        fields = ["generation", *Route.HANDLING]
        extra_kwargs = {name: {"required": False} for name in Route.HANDLING}


class HandlingChangeSerializer(StrictSerializer):
    """A setting before and after, as JSON has it."""

    name = serializers.CharField(read_only=True)
    before = serializers.JSONField(read_only=True)
    after = serializers.JSONField(read_only=True)


class DegradingSerializer(StrictSerializer):
    """The smaller model that answers on purpose, and from when on; either goal is enough."""

    model = serializers.CharField(max_length=120, allow_blank=True, help_text="Empty: never.")
    money_percent = serializers.IntegerField(
        min_value=1, max_value=100, allow_null=True, default=None, help_text="Of a limit on money."
    )
    first_token_ms = serializers.IntegerField(
        min_value=1,
        max_value=MOST_FIRST_TOKEN_MS,
        allow_null=True,
        default=None,
        help_text="The median of the model's latest streams.",
    )


class WantedDegradingSerializer(DegradingSerializer):
    """What a route shall do. `generation` is the one that you read before."""

    generation = serializers.IntegerField(min_value=0)


class DegradingPreviewSerializer(StrictSerializer):
    """Projects that may call the route's model, both with such data, and those of these whose tenant allows it."""

    model = serializers.CharField(source="model.name", read_only=True)
    is_routed = serializers.BooleanField(read_only=True)
    projects = serializers.IntegerField(read_only=True)
    usable = serializers.IntegerField(read_only=True)
    allowed = serializers.IntegerField(read_only=True)


class RouteSerializer(StrictModelSerializer[Route]):
    """A public model name and what serves it. An empty route, or one without weights, serves nothing."""

    model = serializers.CharField(source="model.name", read_only=True)
    entries = RouteEntrySerializer(many=True, read_only=True)
    fallbacks = serializers.SerializerMethodField(
        help_text="Models that answer when no target of this one does, in order."
    )
    degrading = serializers.SerializerMethodField(
        help_text="The smaller model that answers on purpose; its name is empty if there is none."
    )
    handling = HandlingSerializer(source="*", read_only=True)
    gateways = serializers.SerializerMethodField(
        help_text="How many follow the route as it was last changed."
    )

    class Meta:
        model = Route
        fields = [
            "id",
            "model",
            "generation",
            "revision",
            "changed_at",
            "gateways",
            "entries",
            "fallbacks",
            "degrading",
            "handling",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_fallbacks(self, route: Route) -> list[str]:
        return [fallback.model.name for fallback in route.fallbacks.all()]

    @extend_schema_field(DegradingSerializer)
    def get_degrading(self, route: Route) -> dict[str, Any]:
        return vars(degrading.degrading_of(route))

    @extend_schema_field(GatewaysSerializer)
    def get_gateways(self, route: Route) -> dict[str, int]:
        alive: list[int] = self.context["acknowledged"]
        return {"alive": len(alive), "following": sum(revision >= route.revision for revision in alive)}


class EntryChangeSerializer(StrictSerializer):
    """A target before and after; shares are percent of the calls of its order."""

    target = serializers.UUIDField(source="target.pk", read_only=True)
    name = serializers.CharField(source="target.name", read_only=True)
    weight_before = serializers.IntegerField(source="before.weight", read_only=True, allow_null=True)
    weight_after = serializers.IntegerField(source="after.weight", read_only=True, allow_null=True)
    variant_before = serializers.CharField(source="before.variant", read_only=True, allow_null=True)
    variant_after = serializers.CharField(source="after.variant", read_only=True, allow_null=True)
    share_before = serializers.IntegerField(read_only=True)
    share_after = serializers.IntegerField(read_only=True)
    loses_all_calls = serializers.BooleanField(read_only=True)


class TenantImpactSerializer(StrictSerializer):
    """A tenant with a grant for the model; `calls` are those of the last 7 days.

    A project counts as served if some target may receive the data of its grant.
    """

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    projects = serializers.IntegerField(read_only=True)
    projects_served_before = serializers.IntegerField(read_only=True)
    projects_served_after = serializers.IntegerField(read_only=True)
    keys = serializers.IntegerField(read_only=True)
    calls = serializers.IntegerField(read_only=True)
    is_served_before = serializers.BooleanField(read_only=True)
    is_served_after = serializers.BooleanField(read_only=True)


class RoutePreviewSerializer(StrictSerializer):
    """What a change would change, and for whom: the first 50 tenants by calls, and the totals of all."""

    changes = EntryChangeSerializer(many=True, read_only=True)
    regions_gained = serializers.ListField(child=serializers.CharField(), read_only=True)
    regions_lost = serializers.ListField(child=serializers.CharField(), read_only=True)
    ends_service = serializers.BooleanField(read_only=True)
    tenants = TenantImpactSerializer(many=True, read_only=True)
    tenants_total = serializers.IntegerField(read_only=True)
    calls_total = serializers.IntegerField(read_only=True)


class HandlingPreviewSerializer(StrictSerializer):
    """What a change would change, and whose calls are handled so: the first 50 tenants, and the totals of all."""

    changes = HandlingChangeSerializer(many=True, read_only=True)
    tenants = TenantImpactSerializer(many=True, read_only=True)
    tenants_total = serializers.IntegerField(read_only=True)
    calls_total = serializers.IntegerField(read_only=True)


class WantedEntrySerializer(StrictSerializer):
    """What you want of one target."""

    target = serializers.UUIDField(source="target_id")
    weight = serializers.IntegerField(default=1, min_value=0, max_value=MOST_WEIGHT)
    priority = serializers.IntegerField(default=0, min_value=0, max_value=MOST_PRIORITY)
    variant = serializers.CharField(default=routes.STABLE, max_length=40)


class WantedRouteSerializer(StrictSerializer):
    """All entries that a route shall have. `generation` is the one that you read before."""

    generation = serializers.IntegerField(min_value=0)
    entries = WantedEntrySerializer(many=True, max_length=routes.MOST_ENTRIES)  # type: ignore[call-arg]
    may_end_service = serializers.BooleanField(default=False)


class WantedFallbacksSerializer(StrictSerializer):
    """The models that shall answer when no target of this one does, in order of preference."""

    generation = serializers.IntegerField(min_value=0)
    models = serializers.ListField(
        child=serializers.CharField(max_length=120), max_length=fallbacks.MOST_FALLBACKS
    )


class FallbackPreviewSerializer(StrictSerializer):
    """A fallback: projects that may call the route's model, or both, and those whose calls may go there."""

    model = serializers.CharField(source="model.name", read_only=True)
    is_routed = serializers.BooleanField(read_only=True)
    projects = serializers.IntegerField(read_only=True)
    granted = serializers.IntegerField(read_only=True)
    usable = serializers.IntegerField(read_only=True)


class RouteViewSet(
    PlatformScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Public model names, and the targets that serve each."""

    model, serializer_class = Route, RouteSerializer
    # For the schema; get_queryset returns the rows.
    queryset = Route.objects.none()
    view_permission = "deployments.view_route"
    filterset_fields = {"model__name": ["exact"]}

    def get_queryset(self) -> Any:
        return super().get_queryset().with_entries()

    def get_serializer_context(self) -> dict[str, Any]:
        # Queried once, when the first route is serialized.
        return {**super().get_serializer_context(), "acknowledged": SimpleLazyObject(acknowledged_revisions)}

    @extend_schema(request=WantedRouteSerializer, responses=RouteSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Replace all entries of a route at once. Gateways follow within seconds.

        409 with `route_changed` if someone else changed the route since `generation`, and with `route_would_be_empty`
        if nothing would serve the model any more; send `may_end_service` to confirm that.
        """
        route, wanted = self._asked(request)
        routes.change_route(
            route.pk,
            _plan(wanted),
            based_on=wanted["generation"],
            may_end_service=wanted["may_end_service"],
            by=signed_in(request),
        )
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=WantedRouteSerializer, responses=RoutePreviewSerializer)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, pk: str) -> Response:
        """What `PUT` would change with the same body, and for whom. Changes nothing."""
        route, wanted = self._asked(request)
        return Response(RoutePreviewSerializer(preview_route(route, _plan(wanted))).data)

    @extend_schema(request=WantedFallbacksSerializer, responses=RouteSerializer)
    @action(detail=True, methods=["put"], url_path="fallbacks")
    def fallbacks(self, request: Request, pk: str) -> Response:
        """Replace the models that answer when no target of this one does. Gateways follow within seconds.

        409 with `route_changed` if someone else changed the route since `generation`.
        """
        route, wanted = self._wanted_fallbacks(request)
        fallbacks.change_fallbacks(
            route.pk, wanted["models"], based_on=wanted["generation"], by=signed_in(request)
        )
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=WantedFallbacksSerializer, responses=FallbackPreviewSerializer(many=True))
    @action(
        detail=True,
        methods=["post"],
        url_path="preview-fallbacks",
        pagination_class=None,
        filterset_fields=None,
    )
    def preview_fallbacks(self, request: Request, pk: str) -> Response:
        """What `PUT fallbacks/` would change with the same body, and for whom. Changes nothing."""
        route, wanted = self._wanted_fallbacks(request)
        found = fallbacks.preview_fallbacks(route, wanted["models"])
        return Response(FallbackPreviewSerializer(found, many=True).data)

    def _wanted_fallbacks(self, request: Request) -> tuple[Route, dict[str, Any]]:
        route: Route = self.subject_of(fallbacks.change_fallbacks)
        wanted = WantedFallbacksSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return route, wanted.validated_data

    @extend_schema(request=WantedDegradingSerializer, responses=RouteSerializer)
    @action(detail=True, methods=["put"], url_path="degrading")
    def degrading(self, request: Request, pk: str) -> Response:
        """Say when a smaller model answers the calls of a route. Gateways follow within seconds.

        409 with `route_changed` if someone else changed the route since `generation`.
        """
        route, wanted, generation = self._wanted_degrading(request)
        degrading.change_degrading(route.pk, wanted, based_on=generation, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=WantedDegradingSerializer, responses=DegradingPreviewSerializer)
    @action(detail=True, methods=["post"], url_path="preview-degrading")
    def preview_degrading(self, request: Request, pk: str) -> Response:
        """For whom `PUT degrading/` with the same body would let a smaller model answer. Changes nothing.

        Without a model, the answer has zeros.
        """
        route, wanted, _ = self._wanted_degrading(request)
        found = degrading.preview_degrading(route, wanted)
        nothing = {"model": "", "is_routed": False, "projects": 0, "usable": 0, "allowed": 0}
        return Response(DegradingPreviewSerializer(found).data if found else nothing)

    def _wanted_degrading(self, request: Request) -> tuple[Route, Degrading, int]:
        """The route, what it shall do, and the generation of a body."""
        route: Route = self.subject_of(degrading.change_degrading)
        wanted = WantedDegradingSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        values = dict(wanted.validated_data)
        generation = values.pop("generation")
        return route, Degrading(**values), generation

    @extend_schema(request=WantedHandlingSerializer, responses=RouteSerializer)
    @action(detail=True, methods=["patch"])
    def handling(self, request: Request, pk: str) -> Response:
        """Change how the calls of a route are handled; settings that are missing stay. Gateways follow within seconds.

        409 with `route_changed` if someone else changed the route since `generation`.
        """
        route: Route = self.subject_of(route_handling.change_handling)
        generation, values = self._handling_asked(route, request)
        route_handling.change_handling(route.pk, values, based_on=generation, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=WantedHandlingSerializer, responses=HandlingPreviewSerializer)
    @action(detail=True, methods=["post"], url_path="preview-handling")
    def preview_handling(self, request: Request, pk: str) -> Response:
        """What `PATCH …/handling/` would change with the same body, and for whom. Changes nothing."""
        route: Route = self.subject_of(route_handling.change_handling)
        _, values = self._handling_asked(route, request)
        return Response(HandlingPreviewSerializer(route_handling.preview_handling(route, values)).data)

    def _handling_asked(self, route: Route, request: Request) -> tuple[int, dict[str, Any]]:
        """The generation and the settings of a body."""
        wanted = WantedHandlingSerializer(route, data=request.data)
        wanted.is_valid(raise_exception=True)
        values = dict(wanted.validated_data)
        return values.pop("generation"), values

    def _asked(self, request: Request) -> tuple[Route, dict[str, Any]]:
        """The route and the validated body. Checks for 404 and 403 first."""
        route: Route = self.subject_of(routes.change_route)
        wanted = WantedRouteSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return route, wanted.validated_data


def _plan(wanted: dict[str, Any]) -> list[routes.EntryPlan]:
    return [routes.EntryPlan(**entry) for entry in wanted["entries"]]
