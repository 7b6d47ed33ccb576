"""Operators' pages: clusters, deployments and the routes they serve. State is shown here and never edited."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms.models import construct_instance
from django.http import HttpRequest
from django.urls import path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors, more
from accounts.admin.dialogs import Dialog, DialogForm
from accounts.admin.filters import FewRelatedFilter
from accounts.permissions import signed_in
from audit.action_words import action_in_words
from audit.models import AuditEntry
from core.stored_words import retold
from deployments import actions, connection
from deployments.cluster.base import ClusterFacts
from deployments.condition_words import status_in_words, type_in_words
from deployments.deployment_form import DeploymentForm, suggestions
from deployments.models import Cluster, Deployment
from deployments.provider_admin import ProviderAdmin, ProviderCredentialAdmin, ProviderModelAdmin
from deployments.routes_admin import RouteAdmin
from deployments.sharing_admin import SharingAdmin
from privacy.views import actor_in_words, in_one_line

# Registered by being imported.
__all__ = ["ProviderAdmin", "ProviderCredentialAdmin", "ProviderModelAdmin", "RouteAdmin"]
EVENTS_SHOWN = 20

STATE_COLORS = Colors(starting="info", healthy="success", degraded="warning", down="danger")


class ClusterForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new cluster. It is tested before it is saved; `facts` is what the cluster reported."""

    facts: ClusterFacts | None = None

    class Meta:
        model = Cluster
        fields = ["name", "driver", "namespace", "kubeconfig_path", "region"]
        help_texts = {
            "kubeconfig_path": _("A file on the workers. Empty: the service account of the pod they run in."),
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            self.instance = construct_instance(self, self.instance)
            self.facts = connection.require_usable(self.instance)
        return cleaned


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin):
    form = ClusterForm
    list_display = ["name", "driver", "namespace", "region", "version", "tested_at", "living_deployments"]
    actions_detail = ["test_now"]
    shown_fields = [*ClusterForm.Meta.fields, "version", "gpus", "tested_at", "created_at"]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return actions.add_cluster.is_for(request.user)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown_fields if obj else ClusterForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown_fields if obj else []

    @display(description=_("Resources"))
    def gpus(self, cluster: Cluster) -> str:
        return ", ".join(f"{amount} {kind}" for kind, amount in sorted(cluster.resources.items())) or "—"

    test_now = Dialog(
        actions.check_cluster,
        label=_("Test connection"),
        url_path="test",
        icon="network_check",
        title=_("Test the connection?"),
        text=_(
            "A worker asks the cluster for its version and what the credentials may do. This takes seconds."
        ),
        button=_("Test"),
        done=_("%(it)s answers, and its credentials have all permissions that deployments need."),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        living = Deployment.objects.exclude(state=Deployment.State.DELETED).filter(cluster=OuterRef("pk"))
        count = living.order_by().values("cluster").annotate(n=Count("pk")).values("n")
        clusters: QuerySet[Any] = super().get_queryset(request).annotate(living=Coalesce(Subquery(count), 0))
        return clusters

    @display(description=_("Deployments"))
    def living_deployments(self, cluster: Any) -> int:
        living: int = cluster.living
        return living

    def save_model(self, request: HttpRequest, obj: Cluster, form: Any, change: bool) -> None:
        actions.add_cluster(obj, by=signed_in(request), facts=form.facts)
        if not obj.version:
            messages.warning(
                request,
                _(
                    "The cluster does not reveal its version: our credentials may not read /version. "
                    "Deployments do not need it."
                ),
            )


class ScaleForm(DialogForm):
    replicas = forms.IntegerField(
        label=_("Replicas"),
        min_value=0,
        max_value=actions.MOST_REPLICAS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("0 stops its engines and keeps the deployment."),
    )

    def __init__(self, *args: Any, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)
        self.fields["replicas"].initial = (
            Deployment.objects.filter(pk=object_id).values_list("replicas", flat=True).first()
        )


class StateFilter(admin.SimpleListFilter):
    """By state; unless one is chosen, all but deleted ones, which stay for history."""

    title, parameter_name = _("state"), "state"
    stopped = Q(state=Deployment.State.HEALTHY, replicas=0, ready_replicas=0)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        *living, deleted = Deployment.State.choices
        return [*living, ("stopped", _("Stopped")), deleted]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "stopped":
            return queryset.filter(self.stopped)
        if self.value() in Deployment.State:
            return queryset.filter(state=self.value()).exclude(self.stopped)
        return queryset.exclude(state=Deployment.State.DELETED)


@admin.register(Deployment)
class DeploymentAdmin(SharingAdmin, ReadOnlyAdmin):
    form = DeploymentForm
    page_badge = "colored_state"
    list_display = [
        "name",
        "version",
        "cluster",
        "colored_state",
        "ready",
        "tenants_served",
        "why",
        "observed_at",
    ]
    list_filter = [StateFilter, ("cluster", FewRelatedFilter)]
    list_select_related = ["version__model", "cluster", "only_tenant", "target"]
    search_fields = ["name", "version__model__name", "cluster__name"]
    ordering = ["-created_at"]
    actions_detail = [
        "scale",
        "dedicate",
        "allow_controls",
        more("accept_sharing", "withdraw_sharing", "state_separation", "withdraw_separation", "delete_now"),
    ]
    shown_fields = [
        "name",
        "version",
        "cluster",
        "replicas",
        "colored_state",
        "ready",
        "generation",
        "observed_generation",
        "observed_at",
        "conditions_in_words",
        "engine",
        "statement",
        "tenants_served",
        "controls",
        "traffic",
        "addresses",
        "events",
    ]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return actions.create_deployment.is_for(request.user)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown_fields if obj else DeploymentForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown_fields if obj else []

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(suggestions)
        own = path("suggestions/<slug:kind>/", view, name="deployments_deployment_suggestions")
        return [own, *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Deployment, form: Any, change: bool) -> None:
        created = actions.create_deployment(
            obj.version,
            obj.cluster,
            obj.replicas,
            obj.name,
            only_tenant=obj.only_tenant,
            by=request.user,  # type: ignore[arg-type]
        )
        obj.pk = created.pk

    @display(description=_("State"), label=STATE_COLORS, ordering="state")
    def colored_state(self, deployment: Deployment) -> tuple[str, str]:
        key, words = deployment.shown_state
        return key, str(words)

    @display(description=_("Ready"))
    def ready(self, deployment: Deployment) -> str:
        if not deployment.replicas and not deployment.ready_replicas:
            return "—"
        return f"{deployment.ready_replicas} / {deployment.replicas}"

    @display(description=_("Why"))
    def why(self, deployment: Deployment) -> str:
        return retold(deployment.conditions[0]["message"]) if deployment.conditions else ""

    @display(description=_("Conditions"))
    def conditions_in_words(self, deployment: Deployment) -> str:
        rows = (
            (
                type_in_words(condition["type"]),
                status_in_words(condition["status"]),
                condition["reason"],
                retold(condition["message"]),
            )
            for condition in deployment.conditions
        )
        return format_html_join("", "<p><b>{}</b> {} ({}) · {}</p>", rows) or "—"

    @display(description=_("Addresses"))
    def addresses(self, deployment: Deployment) -> str:
        return ", ".join(sorted(deployment.urls)) or "—"

    @display(description=_("Traffic"))
    def traffic(self, deployment: Deployment) -> str:
        route = deployment.version.model.route
        entry = deployment.target.entries.filter(route=route).first()
        if entry is None or not entry.weight:
            add = reverse("admin:deployments_route_change_targets", args=[route.pk])
            return format_html(
                '<b>{}</b> · <a href="{}">{}</a>', _("gets no traffic yet"), add, _("add to the route")
            )
        path = reverse("admin:deployments_route_change", args=[route.pk])
        return format_html('<a href="{}">{}</a>', path, _("weight %(n)d") % {"n": entry.weight})

    @display(description=_("Events"))
    def events(self, deployment: Deployment) -> str:
        lines = (
            AuditEntry.objects.across_tenants()
            .filter(subject_type="deployments.deployment", subject_id=str(deployment.pk))
            .order_by("-at")[:EVENTS_SHOWN]
        )
        rows = (
            (
                date_format(line.at, "Y-m-d H:i:s"),
                action_in_words(line.verb),
                actor_in_words(line),
                in_one_line(line),
            )
            for line in lines
        )
        return format_html_join("", "<p>{} <b>{}</b> {} {}</p>", rows) or "—"

    scale = Dialog(
        actions.scale_deployment,
        label=_("Scale"),
        url_path="scale",
        icon="unfold_more",
        form=ScaleForm,
        title=_("Scale this deployment"),
        text=_("Engines start or stop within seconds. Engines that stop first finish their calls."),
        button=_("Scale"),
        done=_("%(it)s will have %(replicas)d replicas."),
    )

    delete_now = Dialog(
        actions.delete_deployment,
        label=_("Delete"),
        url_path="remove",
        icon="delete",
        is_dangerous=True,
        title=_("Delete this deployment?"),
        text=_(
            "Its engines stop after their current calls. If it is the only one that serves its model, "
            "calls to that model then get 404."
        ),
        button=_("Delete"),
        done=_("%(it)s is being deleted."),
    )
