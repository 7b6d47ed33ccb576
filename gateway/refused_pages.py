"""The page of a tenant's refused calls: which limit or reason refused them, in the last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from gateway.models import RefusedCalls
from gateway.refused_calls import RefusedGroup, refused_since
from tenants.views.mixins import TenantPageMixin, not_shown

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
        # An empty page would suggest that nothing was refused.
        if hidden := not_shown(signed_in(request), self.tenant, RefusedCalls):
            raise PermissionDenied(hidden)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = RefusedCalls.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        groups, has_more = refused_since(rows, self.tenant, now() - PERIOD, most=SHOWN)
        return super().get_context_data(**kwargs) | vars(RefusedPage(groups=groups, has_more=has_more))
