"""Routes over HTTP: which targets serve a model, with which weight and in which order."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from deployments import routes
from deployments.api import PlatformScopedMixin
from deployments.models import Deployment, Route, Sharing
from deployments.models.routes import MOST_PRIORITY, MOST_WEIGHT


class RouteEntrySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A target of a route: its share of the calls, where it runs, whose calls it serves, and its health."""

    target = serializers.UUIDField(source="target_id", read_only=True)
    name = serializers.CharField(source="target.name", read_only=True)
    kind = serializers.CharField(source="target.kind", read_only=True)
    weight = serializers.IntegerField(read_only=True)
    priority = serializers.IntegerField(read_only=True)
    upstream_model = serializers.CharField(source="target.upstream_model", read_only=True)
    regions = serializers.ListField(source="target.regions", child=serializers.CharField(), read_only=True)
    sharing = serializers.ChoiceField(source="target.source.sharing", choices=Sharing.choices, read_only=True)
    only_tenant = serializers.CharField(source="target.only_tenant.slug", read_only=True, allow_null=True)
    state = serializers.ChoiceField(
        source="target.source.state", choices=Deployment.State.choices, read_only=True
    )
    addresses = serializers.ListField(source="target.urls", child=serializers.CharField(), read_only=True)


class RouteSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """A public model name and what serves it. An empty route, or one without weights, serves nothing."""

    model = serializers.CharField(source="model.name", read_only=True)
    entries = RouteEntrySerializer(many=True, read_only=True)

    class Meta:
        model = Route
        fields = ["id", "model", "generation", "revision", "changed_at", "entries", "created_at"]
        read_only_fields = fields


class WantedEntrySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What you want of one target."""

    target = serializers.UUIDField(source="target_id")
    weight = serializers.IntegerField(default=1, min_value=0, max_value=MOST_WEIGHT)
    priority = serializers.IntegerField(default=0, min_value=0, max_value=MOST_PRIORITY)


class WantedRouteSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """All entries that a route shall have. `generation` is the one that you read before."""

    generation = serializers.IntegerField(min_value=0)
    entries = WantedEntrySerializer(many=True, max_length=routes.MOST_ENTRIES)  # type: ignore[call-arg]
    may_end_service = serializers.BooleanField(default=False)


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

    @extend_schema(request=WantedRouteSerializer, responses=RouteSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Replace all entries of a route at once. Gateways follow within seconds.

        409 with `route_changed` if someone else changed the route since `generation`, and with `route_would_be_empty`
        if nothing would serve the model any more; send `may_end_service` to confirm that.
        """
        route = self.subject_of(routes.change_route)
        wanted = WantedRouteSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        routes.change_route(
            route.pk,
            [routes.EntryPlan(**entry) for entry in wanted.validated_data["entries"]],
            based_on=wanted.validated_data["generation"],
            may_end_service=wanted.validated_data["may_end_service"],
            by=signed_in(request),
        )
        return Response(self.get_serializer(self.get_object()).data)
