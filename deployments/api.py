"""Clusters and deployments over HTTP, for operators and their automation."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.declared import Action
from accounts.entry_points import SubjectMixin
from accounts.permissions import signed_in
from catalog.models import ModelVersion
from core.serializers import StrictModelSerializer, StrictSerializer
from deployments import actions, sharing, statements
from deployments.client_fields import LONGEST_FIELD
from deployments.models import Cluster, Deployment, Sharing
from tenants.models import Tenant
from tenants.roles import TokenScope


class ClusterSerializer(StrictModelSerializer[Cluster]):
    class Meta:
        model = Cluster
        fields = ["id", "name", "driver", "namespace", "region", "created_at"]


class ConditionSerializer(StrictSerializer):
    type = serializers.CharField()
    status = serializers.CharField()
    reason = serializers.CharField()
    message = serializers.CharField()


class DeploymentSerializer(StrictModelSerializer[Deployment]):
    """A deployment: the desired state, and the last observed one."""

    model = serializers.CharField(source="version.model.name", read_only=True)
    version = serializers.CharField(source="version.version", read_only=True)
    version_id = serializers.UUIDField(read_only=True)
    cluster = serializers.CharField(source="cluster.name", read_only=True)
    conditions = ConditionSerializer(many=True, read_only=True)
    target = serializers.UUIDField(source="target.pk", read_only=True)
    addresses = serializers.ListField(source="target.urls", child=serializers.CharField(), read_only=True)
    gets_traffic = serializers.BooleanField(read_only=True)
    runtime = serializers.CharField(source="facts.runtime", read_only=True)
    cache_key_field = serializers.CharField(source="separating_field", read_only=True)
    is_statement_in_force = serializers.BooleanField(read_only=True)
    sharing = serializers.ChoiceField(choices=Sharing.choices, read_only=True)
    only_tenant = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)  # type: ignore[var-annotated]
    controls_in_force = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Deployment
        fields = [
            "id",
            "name",
            "model",
            "version",
            "version_id",
            "cluster",
            "replicas",
            "generation",
            "is_deleted",
            "state",
            "ready_replicas",
            "observed_generation",
            "observed_at",
            "conditions",
            "target",
            "addresses",
            "gets_traffic",
            "runtime",
            "cache_key_field",
            "stated_field",
            "stated_reason",
            "stated_at",
            "statement_lapsed_at",
            "is_statement_in_force",
            "sharing",
            "only_tenant",
            "sharing_reason",
            "sharing_accepted_at",
            "allowed_controls",
            "controls_in_force",
            "created_at",
        ]
        read_only_fields = fields


class ClusterField(serializers.SlugRelatedField):  # type: ignore[type-arg]
    """A cluster by name. A name that PostgreSQL cannot store matches no cluster."""

    def to_internal_value(self, data: Any) -> Cluster:
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        cluster: Cluster = super().to_internal_value(data)
        return cluster


class TenantField(serializers.SlugRelatedField):  # type: ignore[type-arg]
    """A tenant by its short name. A name that PostgreSQL cannot store matches no tenant."""

    def to_internal_value(self, data: Any) -> Tenant:
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        tenant: Tenant = super().to_internal_value(data)
        return tenant


class NewDeploymentSerializer(StrictSerializer):
    version = serializers.PrimaryKeyRelatedField(queryset=ModelVersion.objects.select_related("model"))
    cluster = ClusterField(slug_field="name", queryset=Cluster.objects.all())
    replicas = serializers.IntegerField(default=1, min_value=0, max_value=actions.MOST_REPLICAS)
    only_tenant = TenantField(
        slug_field="slug",
        queryset=Tenant.objects.all(),
        allow_null=True,
        default=None,
        help_text="The only tenant that it serves. A version for chosen tenants requires one of them.",
    )
    name = serializers.CharField(max_length=53)


class ScaleSerializer(StrictSerializer):
    replicas = serializers.IntegerField(min_value=0, max_value=actions.MOST_REPLICAS)


class SharingSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500)


class SeparationSerializer(StrictSerializer):
    field = serializers.CharField(max_length=LONGEST_FIELD, trim_whitespace=False)
    reason = serializers.CharField(max_length=500)


class DedicateSerializer(StrictSerializer):
    tenant = TenantField(slug_field="slug", queryset=Tenant.objects.all(), allow_null=True)


class ControlsSerializer(StrictSerializer):
    controls = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=sharing.MOST_CONTROLS
    )


class PlatformScopedMixin(SubjectMixin):
    """Platform rows, visible to staff with the view permission. Others get 404 for a row and 403 for a list."""

    token_scope = TokenScope.PLATFORM
    model: Any
    view_permission: str

    def get_queryset(self) -> Any:
        return self.model.objects.visible_to(self.request.user)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not request.user.has_perm(self.view_permission):
            raise PermissionDenied(_("Only operators can see where models run."))
        return super().list(request, *args, **kwargs)  # type: ignore[misc, no-any-return]


class ClusterViewSet(
    PlatformScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Places that run engines."""

    model, serializer_class = Cluster, ClusterSerializer
    # For the schema; get_queryset returns the rows.
    queryset = Cluster.objects.none()
    view_permission = "deployments.view_cluster"


class DeploymentViewSet(
    PlatformScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Model versions that should run on clusters, and their last observed state."""

    model, serializer_class = Deployment, DeploymentSerializer
    # For the schema; get_queryset returns the rows.
    queryset = Deployment.objects.none()
    view_permission = "deployments.view_deployment"
    filterset_fields = ["state", "name"]

    def get_queryset(self) -> Any:
        return (
            super()
            .get_queryset()
            .select_related("version__model", "cluster", "only_tenant", "target")
            .prefetch_related("target__addresses", "target__entries")
        )

    @extend_schema(request=NewDeploymentSerializer, responses={201: DeploymentSerializer})
    def create(self, request: Request) -> Response:
        """Deploy a model version on a cluster. Its engines start within seconds."""
        actions.create_deployment.require(signed_in(request), None)
        wanted = NewDeploymentSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        created = actions.create_deployment(**wanted.validated_data, by=signed_in(request))
        return Response(self.get_serializer(created).data, status=201)

    @extend_schema(request=ScaleSerializer, responses=DeploymentSerializer)
    @action(detail=True, methods=["post"])
    def scale(self, request: Request, pk: str) -> Response:
        """Set the number of replicas; 0 keeps the deployment and stops its engines."""
        deployment = self.subject_of(actions.scale_deployment)
        wanted = ScaleSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        actions.scale_deployment(deployment.pk, wanted.validated_data["replicas"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=SharingSerializer, responses=DeploymentSerializer)
    @action(detail=True, methods=["post"])
    def sharing(self, request: Request, pk: str) -> Response:
        """Accept, with a reason, that tenants share an engine's prefix cache although nothing separates them."""
        wanted = self._asked(request, sharing.accept_sharing, SharingSerializer)
        sharing.accept_sharing(pk, wanted["reason"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=DeploymentSerializer)
    @sharing.mapping.delete
    def withdraw_sharing(self, request: Request, pk: str) -> Response:
        """Withdraw the acceptance. The engine then serves nobody, unless something else separates tenants."""
        deployment = self.subject_of(sharing.withdraw_sharing)
        sharing.withdraw_sharing(deployment.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=SeparationSerializer, responses=DeploymentSerializer)
    @action(detail=True, methods=["post"])
    def separation(self, request: Request, pk: str) -> Response:
        """State, with a reason, which field of a call an engine uses to separate its prefix cache.

        The statement covers the current image and command, and lapses when either changes.
        """
        wanted = self._asked(request, statements.state_separation, SeparationSerializer)
        statements.state_separation(pk, wanted["field"], wanted["reason"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=DeploymentSerializer)
    @separation.mapping.delete
    def withdraw_separation(self, request: Request, pk: str) -> Response:
        """Withdraw the statement. The engine then serves nobody, unless something else separates tenants."""
        deployment = self.subject_of(statements.withdraw_separation)
        statements.withdraw_separation(deployment.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=DedicateSerializer, responses=DeploymentSerializer)
    @action(detail=True, methods=["post"])
    def dedicate(self, request: Request, pk: str) -> Response:
        """Let an engine serve only one tenant, or all tenants again (null)."""
        wanted = self._asked(request, sharing.dedicate, DedicateSerializer)
        sharing.dedicate(pk, wanted["tenant"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ControlsSerializer, responses=DeploymentSerializer)
    @action(detail=True, methods=["post"])
    def controls(self, request: Request, pk: str) -> Response:
        """Let clients send these engine controls to the engine, and no others."""
        wanted = self._asked(request, sharing.allow_controls, ControlsSerializer)
        sharing.allow_controls(pk, wanted["controls"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    def _asked(
        self,
        request: Request,
        action: Action[Deployment, Any, Any],
        kind: type[serializers.Serializer[Any]],
    ) -> Any:
        """The validated data of a request about a deployment. Checks for 404, 403 and 409 first."""
        self.subject_of(action)
        wanted = kind(data=request.data)
        wanted.is_valid(raise_exception=True)
        return wanted.validated_data

    @extend_schema(responses={202: DeploymentSerializer})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a deployment. Its engines finish their calls; then its `state` is `deleted`."""
        deployment = self.subject_of(actions.delete_deployment)
        actions.delete_deployment(deployment.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data, status=202)
