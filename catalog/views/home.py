"""A tenant's home page: tasks that need you, open requests, and how to get started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from billing.costs import today_of, total_spend
from catalog import presentation
from catalog.models import AccessRequest
from core.dates import day
from tenants.actions import claim_api_key
from tenants.models import ApiKey
from tenants.permissions import projects_where
from tenants.views.mixins import TenantPageMixin

MOST_ROWS = 8
DAY = timedelta(days=1)


class TenantHome(TenantPageMixin, TemplateView):
    """Shows only a few rows of each kind. The linked lists have the rest."""

    template_name = "tenants/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        requests = AccessRequest.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        open_requests = (
            requests.pending().with_names().select_related("grant__key").order_by("-pk")[:MOST_ROWS]
        )
        return super().get_context_data(**kwargs) | {
            "needs_you": self._keys_to_claim(),
            "open_requests": [presentation.row_of(access_request) for access_request in open_requests],
            "week": self._week(),
        }

    def _week(self) -> dict[str, Any] | None:
        """The costs of the last seven days and of the seven days before; None for people who may not see costs."""
        if not signed_in(self.request).has_perm("tenants.view_cost", self.tenant):
            return None
        today = today_of(self.tenant)
        week = total_spend(self.tenant, today - 6 * DAY, today)
        before = total_spend(self.tenant, today - 13 * DAY, today - 7 * DAY)
        return {
            "spend": week.cost,
            "before": before.cost,
            "calls": week.calls,
            "tokens": week.tokens,
            "currency": self.tenant.currency,
        }

    def _keys_to_claim(self) -> list[dict[str, str]]:
        user, tenant = signed_in(self.request), self.tenant
        keys = (
            ApiKey.objects.visible_to(user)
            .in_tenant(tenant)
            .claimable()
            .filter(project__in=projects_where(user, claim_api_key.permission, tenant))
            .with_names()
            .order_by("claim_by", "pk")
        )
        return [
            {
                "icon_name": "key",
                "text": _("The key for %(models)s is ready") % {"models": ", ".join(key.model_names)},
                "detail": _("%(project)s · claim it by %(date)s")
                % {
                    "project": key.project.name,
                    "date": day(key.claim_by),
                },
                "url": reverse("key-claim", args=[tenant.slug, key.pk]),
                "action": _("Claim key"),
            }
            for key in keys[:MOST_ROWS]
        ]
