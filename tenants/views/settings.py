"""A tenant's settings and its projects."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from django.views.generic.detail import SingleObjectMixin

from accounts.declared import Action
from accounts.models import User
from accounts.permissions import signed_in
from core.choices import PickField, pick_field
from core.editing import sent_values
from core.form_errors import show_errors
from core.keyset import requested_page
from core.local_days import zones_to_choose
from core.prefix import begins_with
from core.tenant_managers import TenantQuerySet
from tenants.actions import change_project, change_tenant, create_project
from tenants.forms import TenantForm
from tenants.models import ApiKey, Membership, Project, Tenant
from tenants.views.mixins import TenantPageMixin, TenantScopedMixin

PAGE_SIZE = 25


class SettingsForm(TenantForm):
    """What a tenant's owners and admins decide about it."""

    class Meta(TenantForm.Meta):
        exclude = ("highest_data_class",)
        widgets: ClassVar = {
            "timezone": forms.TextInput(
                attrs={"list": "timezones", "autocomplete": "off", "spellcheck": "false"}
            )
        }
        help_texts: ClassVar = {
            "timezone": gettext_lazy(
                "Enter a city to search. Days and months, and the limits that count by them, begin in "
                "this time zone."
            )
        }


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """A project. The form asks for the slug only once, on creation."""

    class Meta:
        model = Project
        fields = ("slug", *Project.EDITABLE)

    field_order = ("name",)
    owner = PickField(
        User,
        by="email",
        label=gettext_lazy("Owner"),
        required=False,
        empty_label=gettext_lazy("No named owner"),
        help_text=gettext_lazy("The member who answers for it."),
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = Membership.objects.in_tenant(tenant).filter(user__is_active=True)
        people = User.objects.filter(pk__in=members.values("user")).order_by("name", "email")
        owner: User | None = self.instance.owner
        valid = None
        # The current owner may stay, even if disabled since.
        if owner is not None:
            valid = User.objects.filter(Q(pk__in=members.values("user")) | Q(pk=owner.pk))
        field = pick_field(self, "owner")
        field.offer(people, source=reverse("suggestions", args=[tenant.slug, "members"]), valid=valid)
        if owner is not None:
            field.show(owner)
        if not self.instance._state.adding:
            del self.fields["slug"]


class FormPage(TenantPageMixin, TemplateView):
    """A page with one form for one action. Errors are checked in this order: 404, 403, 409, 400 or 422."""

    action: Action[Any, Any, Any]

    def subject(self) -> Any:
        """Return what the action is about."""
        return self.tenant

    def make_form(self, data: Any = None) -> forms.BaseForm:
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.found = self.subject()
        self.action.require_permission(signed_in(request), self.found)
        return self.render_to_response(self.get_context_data(form=self.make_form()))

    def send(self, request: HttpRequest, carry_out: Callable[[dict[str, Any]], Any]) -> forms.BaseForm | None:
        """Call `carry_out` with the form's data. Return None on success, else the form with its errors."""
        self.found = self.subject()
        self.action.require(signed_in(request), self.found)
        form = self.make_form(request.POST)
        if form.is_valid():
            try:
                carry_out(sent_values(form))
            except ValidationError as error:
                show_errors(form, error)
        return None if form.is_valid() else form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        can_save = self.action.is_possible(signed_in(self.request), self.found)
        return super().get_context_data(**kwargs) | {"can_save": can_save}

    def again(self, form: forms.BaseForm) -> HttpResponse:
        status = 422 if getattr(self.request, "htmx", False) else 400
        return self.render_to_response(self.get_context_data(form=form), status=status)


class TenantSettings(FormPage):
    """What a tenant's owners and admins decide about it."""

    template_name = "tenants/settings.html"
    action = change_tenant

    def make_form(self, data: Any = None) -> forms.BaseForm:
        # A copy, because the form writes its data into its instance and the page shows the tenant as stored.
        return SettingsForm(data, instance=copy(self.tenant))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        zones = sorted(zone for zone in zones_to_choose() if "/" in zone and not zone.startswith("Etc/"))
        return super().get_context_data(**kwargs) | {"timezones": ["UTC", *zones]}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.send(request, lambda said: change_tenant(self.tenant.pk, by=signed_in(request), **said))
        if form is not None:
            return self.again(form)
        messages.success(request, _("Settings saved"))
        return redirect("tenant-settings", self.tenant.slug)


class ProjectList(TenantScopedMixin[TenantQuerySet[Project]], TemplateView):
    """The tenant's projects by name, each with its owner and number of keys; `?q=` finds the beginnings of names."""

    model = Project
    template_name = "tenants/project_list.html"

    def get_queryset(self) -> TenantQuerySet[Project]:
        keys = ApiKey.unscoped.filter(project=OuterRef("pk"), state="active").order_by().values("project")
        count = keys.annotate(n=Count("pk")).values("n")
        projects = super().get_queryset().select_related("owner", "tenant")
        return projects.annotate(active_keys=Coalesce(Subquery(count), 0))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        may_manage = create_project.is_permitted(signed_in(self.request), self.tenant)
        term = self.request.GET.get("q", "").strip()
        projects = self.get_queryset()
        page = requested_page(
            self.request,
            projects.filter(begins_with(term, ["name", "slug"])) if term else projects,
            ("name", "slug"),
            size=PAGE_SIZE,
        )
        labels = {field.name: field.verbose_name for field in Project._meta.fields}
        return super().get_context_data(**kwargs) | {
            "rows": page.rows,
            "accounting": [labels[name] for name in Project.ACCOUNTING],
            "may_manage": may_manage,
            "can_create": create_project.is_possible(signed_in(self.request), self.tenant),
            "term": term,
            **page.links(q=term),
        }


class ProjectNew(FormPage):
    """A new project."""

    template_name = "tenants/project_form.html"
    action = create_project

    def make_form(self, data: Any = None) -> forms.BaseForm:
        return ProjectForm(data, tenant=self.tenant)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.send(request, lambda said: create_project(self.tenant, by=signed_in(request), **said))
        if form is not None:
            return self.again(form)
        messages.success(request, _("The project is created"))
        return redirect("project-list", self.tenant.slug)


class ProjectEdit(TenantScopedMixin[TenantQuerySet[Project]], SingleObjectMixin, FormPage):  # type: ignore[type-arg]
    """Change a project."""

    model = Project
    template_name = "tenants/project_form.html"
    action = change_project
    object: Project

    def subject(self) -> Project:
        self.object = self.get_object()
        return self.object

    def make_form(self, data: Any = None) -> forms.BaseForm:
        return ProjectForm(data, tenant=self.tenant, instance=copy(self.object))  # as in TenantSettings

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.send(request, lambda said: change_project(self.object.pk, by=signed_in(request), **said))
        if form is not None:
            return self.again(form)
        messages.success(request, _("The project is saved"))
        return redirect("project-list", self.tenant.slug)
