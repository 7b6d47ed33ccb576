"""Providers over HTTP, for operators and their automation."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.entry_points import SubjectMixin
from accounts.permissions import signed_in
from core.serializers import require_no_fields
from deployments import (
    provider_actions,
    provider_lists,
    provider_managers,
    provider_rotation,
    provider_routing,
)
from deployments import provider_serializers as said
from deployments.list_setting_entry_points import ListSettingView
from deployments.models import Provider, ProviderCredential, ProviderModel
from deployments.provider_impact import impact_of
from deployments.provider_networks import ALLOWED_NETWORKS
from deployments.provider_tests import in_words
from deployments.providers.listing import Report
from tenants.roles import TokenScope


class ProviderScopedMixin(SubjectMixin):
    """Rows of providers that the user sees: all for operators, else those that they alone may manage."""

    token_scope = TokenScope.PLATFORM
    model: Any
    request: Any

    def get_queryset(self) -> Any:
        return self.model.objects.visible_to(self.request.user)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        sees_all = request.user.has_perm("deployments.view_provider")
        if not sees_all and not Provider.objects.visible_to(request.user).exists():
            raise PermissionDenied(_("Only operators can see providers."))
        return super().list(request, *args, **kwargs)  # type: ignore[misc, no-any-return]

    def read(self, kind: type[serializers.Serializer[Any]], **options: Any) -> Any:
        """The validated request."""
        wanted = kind(data=self.request.data, **options)
        wanted.is_valid(raise_exception=True)
        return wanted


def _report(report: Report) -> dict[str, Any]:
    return {
        "milliseconds": report.milliseconds,
        "lists_models": report.lists_models,
        "models": [listed.name for listed in report.models],
        "words": in_words(report),
    }


class ProviderViewSet(
    ProviderScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """APIs that serve models: OpenAI, Azure OpenAI, Anthropic, a vLLM, a LiteLLM proxy."""

    model, serializer_class = Provider, said.ProviderSerializer
    # For the schema; get_queryset returns the rows.
    queryset = Provider.objects.none()
    filterset_fields = ["name", "is_enabled"]

    def get_queryset(self) -> Any:
        return super().get_queryset().prefetch_related("credentials").order_by("name")

    @extend_schema(request=said.NewProviderSerializer, responses={201: said.ProviderSerializer})
    def create(self, request: Request) -> Response:
        """Add a provider, after a test that it can be used."""
        provider_actions.add_provider.require(signed_in(request), None)
        draft, credential, is_tested = self.read(said.NewProviderSerializer).draft()
        provider = provider_actions.add_provider(
            draft, credential, by=signed_in(request), is_tested=is_tested
        )
        return Response(self.get_serializer(provider).data, status=201)

    @extend_schema(request=said.NewProviderSerializer, responses=said.TestReportSerializer)
    @action(detail=False, methods=["post"], url_path="try")
    def try_new(self, request: Request) -> Response:
        """Test a provider without saving it. 400 says what is wrong."""
        provider_actions.try_new_provider.require(signed_in(request), None)
        draft, credential, _is_tested = self.read(said.NewProviderSerializer).draft()
        report = provider_actions.try_new_provider(draft, credential, by=signed_in(request))
        return Response(_report(report))

    @extend_schema(request=said.ChangedProviderSerializer, responses=said.ProviderSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change fields of a provider. If how it is reached changes, it is tested first.

        If calls go to another place afterwards (server, proxy, private CA), send the credential again. 409 with
        `audience_would_change` names the tenants with a grant that gain or lose a model; send `may_change_audience` to
        confirm. Only people who may manage all providers can let others in, or change the base URL, the proxy or the
        private CA (403).
        """
        provider = self.subject_of(provider_actions.change_provider)
        values = dict(self.read(said.ChangedProviderSerializer, partial=True).validated_data)
        if provider_actions.moves(provider, values):
            provider_actions.move_provider.require(signed_in(request), provider)
        is_tested, new = values.pop("is_tested", True), said.credential_of(values.pop("credential", None))
        provider_actions.change_provider(
            provider.pk, by=signed_in(request), is_tested=is_tested, credential=new, **values
        )
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a provider that no route uses."""
        provider = self.subject_of(provider_actions.delete_provider)
        provider_actions.delete_provider(provider.pk, by=signed_in(request))
        return Response(status=204)

    @extend_schema(request=None, responses=said.TestReportSerializer)
    @action(detail=True, methods=["post"])
    def refresh(self, request: Request, pk: str) -> Response:
        """Test a provider and read its list of models again. 409 says what is wrong."""
        provider = self.subject_of(provider_lists.refresh_provider)
        require_no_fields(request.data)
        _provider, report = provider_lists.refresh_provider(provider.pk, by=signed_in(request))
        return Response(_report(report))

    @extend_schema(request=None, responses=said.ProviderSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Send no more calls to a provider. `GET impact/` says what that stops."""
        provider = self.subject_of(provider_actions.disable_provider)
        require_no_fields(request.data)
        provider_actions.disable_provider(provider.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=said.ProviderSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        """Send calls to a provider again."""
        provider = self.subject_of(provider_actions.enable_provider)
        require_no_fields(request.data)
        provider_actions.enable_provider(provider.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=said.ImpactSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_fields=None)
    def impact(self, request: Request, pk: str) -> Response:
        """What disabling or deleting it would stop."""
        return Response(said.ImpactSerializer(impact_of(self.get_object()), many=True).data)

    @extend_schema(request=said.RotateSerializer, responses={201: said.ProviderCredentialSerializer})
    @action(detail=True, methods=["post"])
    def credentials(self, request: Request, pk: str) -> Response:
        """Put a new credential in force, after a test with it; the old one stays valid for `overlap_hours`."""
        provider = self.subject_of(provider_rotation.rotate_provider_credential)
        wanted = self.read(said.RotateSerializer).validated_data
        new = said.credential_of(wanted["credential"])
        assert new is not None  # the kind is required
        row = provider_rotation.rotate_provider_credential(
            provider.pk, new, wanted["overlap_hours"], by=signed_in(request), is_tested=wanted["is_tested"]
        )
        return Response(said.ProviderCredentialSerializer(row).data, status=201)

    @extend_schema(request=said.SetManagerSerializer, responses=said.ManagersSerializer)
    @action(detail=True, methods=["post"])
    def managers(self, request: Request, pk: str) -> Response:
        """Let a member of the staff who is no operator manage this provider, or no longer."""
        provider = self.subject_of(provider_managers.set_provider_manager)
        wanted = self.read(said.SetManagerSerializer).validated_data
        provider_managers.set_provider_manager(provider.pk, **wanted, by=signed_in(request))
        return Response({"managers": provider_managers.managers_of(provider)})

    @extend_schema(request=said.NameModelSerializer, responses={201: said.ProviderModelSerializer})
    @action(detail=True, methods=["post"])
    def models(self, request: Request, pk: str) -> Response:
        """Name a model that the provider does not list. `GET /provider-models/?provider=` lists all."""
        provider = self.subject_of(provider_lists.name_provider_model)
        wanted = self.read(said.NameModelSerializer).validated_data
        row = provider_lists.name_provider_model(provider.pk, **wanted, by=signed_in(request))
        return Response(said.ProviderModelSerializer(row).data, status=201)

    @extend_schema(request=said.RouteModelsSerializer, responses=said.ProviderModelSerializer(many=True))
    @action(
        detail=True, methods=["post"], url_path="route-models", pagination_class=None, filterset_fields=None
    )
    def route_models(self, request: Request, pk: str) -> Response:
        """Put models of this provider into their catalog models' routes, up to 50 at once: all or none."""
        provider = self.subject_of(provider_routing.route_provider_models)
        wanted = self.read(said.RouteModelsSerializer).validated_data
        rows = provider_routing.route_provider_models(provider.pk, wanted["models"], by=signed_in(request))
        return Response(said.ProviderModelSerializer(rows, many=True).data)


class ProviderCredentialViewSet(
    ProviderScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Credentials of providers, by what people recognize them by."""

    model, serializer_class = ProviderCredential, said.ProviderCredentialSerializer
    queryset = ProviderCredential.objects.none()
    filterset_fields = ["provider"]

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("provider").order_by("-valid_from", "-pk")

    @extend_schema(responses=said.ProviderCredentialSerializer)
    def destroy(self, request: Request, pk: str) -> Response:
        """End a credential now, and erase it here."""
        row = self.subject_of(provider_rotation.end_provider_credential)
        provider_rotation.end_provider_credential(row.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)


class ProviderModelViewSet(
    ProviderScopedMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Models as their providers name them, and which of the catalog each is."""

    model, serializer_class = ProviderModel, said.ProviderModelSerializer
    queryset = ProviderModel.objects.none()
    filterset_fields = ["provider", "mode", "matched_by"]

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("provider", "model").order_by("name", "pk")

    @extend_schema(request=said.MatchSerializer, responses=said.ProviderModelSerializer)
    @action(detail=True, methods=["post"])
    def match(self, request: Request, pk: str) -> Response:
        """Say which model of the catalog it is; null: none of them."""
        row = self.subject_of(provider_lists.match_provider_model)
        wanted = self.read(said.MatchSerializer).validated_data
        provider_lists.match_provider_model(row.pk, wanted["model"], by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="provider_networks",
        description="The allowed networks; none: public addresses only.",
    ),
    post=extend_schema(
        operation_id="provider_networks_set",
        responses=said.NetworksSerializer,
        description="Replace the list; every gateway receives it within seconds. Safe to repeat.",
    ),
)
class ProviderNetworksView(ListSettingView):
    """The networks beyond the public Internet in which providers may be."""

    setting, change = ALLOWED_NETWORKS, provider_actions.set_allowed_networks
    serializer_class = said.NetworksSerializer
    view_permission = "deployments.view_provider"
