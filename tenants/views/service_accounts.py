"""Service accounts of a tenant: create, disable and enable them. views/members.py deletes them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from core.form_errors import show_errors
from core.page_parts import Fact
from core.tenant_managers import TenantQuerySet
from tenants.actions import create_service_account, disable_service_account, enable_service_account
from tenants.forms import ServiceAccountForm, role_options
from tenants.models import ApiKey, Membership
from tenants.roles import Role
from tenants.views.members import MemberPage
from tenants.views.mixins import TenantPageMixin


class ServiceAccountNew(TenantPageMixin, TemplateView):
    """A name and a role. The person who creates the account answers for it."""

    template_name = "tenants/service_account_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        create_service_account.require_permission(signed_in(request), self.tenant)
        return self._page(ServiceAccountForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = signed_in(request)
        create_service_account.require(user, self.tenant)
        form = ServiceAccountForm(request.POST)
        if form.is_valid():
            try:
                account = create_service_account(self.tenant, by=user, **form.cleaned_data)
            except ValidationError as error:
                show_errors(form, error)
            else:
                messages.success(request, _("%(name)s is ready") % {"name": account})
                membership = Membership.objects.in_tenant(self.tenant).get(user=account)
                return redirect("member-detail", self.tenant.slug, membership.pk)
        return self._page(form, status=400)

    def _page(self, form: ServiceAccountForm, *, status: int = 200) -> HttpResponse:
        options = role_options(
            signed_in(self.request),
            self.tenant,
            chosen=str(form["role"].value()),
            without=[Role.OWNER],
        )
        context = self.get_context_data(form=form, options=options)
        return render(self.request, self.template_name, context, status=status)


class ServiceAccountPage(MemberPage):
    """A page about one service account. Other members answer 404."""

    def get_queryset(self) -> TenantQuerySet[Membership]:
        return super().get_queryset().filter(user__service_of__isnull=False)


class ServiceAccountDisable(ServiceAccountPage):
    """Ask whether to disable the account, show what stops, and disable it."""

    template_name = "tenants/service_account_disable.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(disable_service_account)
        keys = ApiKey.objects.in_tenant(self.tenant).usable().filter(owner=self.object.user).count()
        facts = [Fact(_("Active keys"), str(keys))]
        return self.render_to_response(self.get_context_data(facts=facts))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = self.subject_of(disable_service_account)
        disable_service_account(member.pk, by=signed_in(request))
        messages.success(request, _("%(name)s is disabled") % {"name": member.user})
        return redirect("member-detail", self.tenant.slug, member.pk)


class ServiceAccountEnable(ServiceAccountPage):
    """Enable a disabled account."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("member-detail", self.tenant.slug, self.get_object().pk)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = self.subject_of(enable_service_account)
        enable_service_account(member.pk, by=signed_in(request))
        messages.success(request, _("%(name)s works again; you now answer for it") % {"name": member.user})
        return redirect("member-detail", self.tenant.slug, member.pk)
