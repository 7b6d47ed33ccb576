"""A tenant's page about emergency access to it, and the button to end your own."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import TemplateView
from django.views.generic.detail import SingleObjectMixin

from accounts.permissions import signed_in
from core.keyset import requested_page
from tenants.actions import end_emergency_access
from tenants.models import EmergencyAccess
from tenants.querysets import EmergencyAccessQuerySet
from tenants.views.mixins import MayReadAuditLog, TenantScopedMixin

PAGE_SIZE = 25


class EmergencyAccessList(
    MayReadAuditLog, TenantScopedMixin[EmergencyAccessQuerySet[EmergencyAccess]], TemplateView
):
    """Who had emergency access here, why and when, and who reviewed it; newest first."""

    model = EmergencyAccess
    template_name = "tenants/emergency_access_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = requested_page(
            self.request,
            self.get_queryset().with_status(),
            ("-pk",),
            size=PAGE_SIZE,
        )
        return super().get_context_data(**kwargs) | {
            "accesses": page.rows,
            **page.links(),
        }


class EndEmergencyAccess(TenantScopedMixin[EmergencyAccessQuerySet[EmergencyAccess]], SingleObjectMixin):  # type: ignore[type-arg]
    """End one's own emergency access."""

    model = EmergencyAccess
    http_method_names = ("post", "options")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        end_emergency_access(self.subject_of(end_emergency_access).pk, by=signed_in(request))
        messages.success(request, _("Emergency access is ended"))
        return redirect("tenant-home", self.tenant.slug)
