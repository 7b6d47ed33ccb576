"""The page of a tenant's refused calls: which limit or reason refused them, in the last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.timezone import now
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from gateway.models import RefusedCalls
from gateway.refused_calls import RefusedGroup, refused_since
from tenants.views.mixins import TenantPageMixin

SHOWN: Final = 100
PERIOD: Final = timedelta(days=1)


@dataclass(frozen=True)
class RefusedPage:
    """The content of the page."""

    groups: list[RefusedGroup]
    has_more: bool


class RefusedCallsPage(TenantPageMixin, TemplateView):
    """Refused calls of the last day, the most frequent reasons first; for everyone in the tenant, and operators."""

    template_name = "gateway/refused_calls.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = signed_in(request)
        is_member = user.own_tenants().filter(tenant=self.tenant).exists()
        if not (is_member or user.is_superuser or user.staff_roles & RefusedCalls.visible_to_staff):
            # An empty page would suggest that nothing was refused.
            raise Http404
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = RefusedCalls.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        groups, has_more = refused_since(rows, self.tenant, now() - PERIOD, most=SHOWN)
        return super().get_context_data(**kwargs) | vars(RefusedPage(groups=groups, has_more=has_more))
