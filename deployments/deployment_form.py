"""The form of a new deployment, and its suggestions as the user types."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import style
from accounts.permissions import signed_in
from catalog.models import ModelVersion
from core.choices import MOST, PickField, as_options, offer
from core.prefix import begins_with
from deployments import actions
from deployments.models import Cluster, Deployment
from deployments.versions import only_tenant_for
from tenants.models import Tenant
from tenants.views.suggestions import term_of


def _versions() -> QuerySet[Any]:
    """Versions that can be deployed, by their usual names: the model's name and the version's own."""
    named = ModelVersion.objects.current().annotate(label=Concat(F("model__name"), Value(" "), F("version")))
    return named.select_related("model").order_by("model__name", "version")


class DeploymentForm(forms.ModelForm):  # type: ignore[type-arg]
    version = PickField(ModelVersion, by="label", label=_("Version"))
    cluster = PickField(Cluster, by="name", label=_("Cluster"))
    only_tenant = PickField(
        Tenant,
        by="slug",
        label=_("Only tenant"),
        required=False,
        empty_label=_("All tenants"),
        help_text=_("A version for chosen tenants serves one of them."),
    )

    class Meta:
        model = Deployment
        fields = ["version", "cluster", "only_tenant", "replicas", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("version", _versions()), ("cluster", Cluster.objects.order_by("name"))):
            # Not where a deployment is read-only.
            if name in self.fields:
                source = reverse("admin:deployments_deployment_suggestions", args=[f"{name}s"])
                offer(self, name, rows, source=source)
                style(self, name)
        if "only_tenant" in self.fields:
            offer(self, "only_tenant", Tenant.objects.order_by("name"), source=reverse("tenant-suggestions"))
            style(self, "only_tenant")

    def clean_name(self) -> str:
        """The action refuses the name of a living deployment, too; here the error appears beside the field."""
        name: str = self.cleaned_data["name"]
        if Deployment.objects.living().filter(name=name).exists():
            raise forms.ValidationError(_("A deployment with this name already exists."))
        return name

    def clean(self) -> dict[str, Any] | None:
        said = self.cleaned_data
        if "replicas" in said:
            actions.check_replicas(said["replicas"])
        if said.get("version") and "only_tenant" in said:
            only_tenant_for(said["version"], said["only_tenant"])
        return super().clean()


def suggestions(request: HttpRequest, kind: str) -> HttpResponse:
    """Options for versions or clusters whose names begin with the typed text."""
    actions.create_deployment.require_permission(signed_in(request), None)
    term = term_of(request)
    if kind == "versions":
        model, _space, version = (part.strip() for part in term.partition(" "))
        found = _versions().filter(begins_with(model, ["model__name"])) if term else _versions()
        found = found.filter(begins_with(version, ["version"])) if version else found
        return HttpResponse(as_options((row.label, str(row)) for row in found[:MOST]))
    if kind == "clusters":
        clusters = Cluster.objects.order_by("name")
        clusters = clusters.filter(begins_with(term, ["name"])) if term else clusters
        return HttpResponse(
            as_options((name, name) for name in clusters.values_list("name", flat=True)[:MOST])
        )
    raise Http404
