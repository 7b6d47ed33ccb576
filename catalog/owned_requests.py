"""What a departing member owns in the catalog: access requests that wait for a decision.

Somebody else cannot take a request over: four eyes count the person who asked.
"""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from catalog.actions.access_requests import withdraw_locked_request
from catalog.models import AccessRequest
from tenants.actions.owned_resources import SHOWN, OwnedResource, OwnedResources
from tenants.models import Tenant


class OpenRequests:
    """Requests that are not decided; they end by being withdrawn."""

    kind = "access_requests"
    can_hand_over = False
    reaches_gateways = False

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self._rows(user, tenant)
        shown = [
            OwnedResource(f"{row.reference} · {row.model.title}", row.project.name)
            for row in rows.select_related("model", "project").order_by("-pk")[:SHOWN]
        ]
        return OwnedResources(
            self.kind, _("Open access requests"), rows.count(), shown, False, _("Withdraw them")
        )

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _("A request stays with the person who made it. Someone else can send a new one.")

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        raise ValueError("A request stays with the person who made it; it cannot be transferred.")

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        rows = list(
            self._rows(user, tenant).select_related("tenant").select_for_update(of=("self",)).order_by("pk")
        )
        for access_request in rows:
            withdraw_locked_request(access_request, actor=by, reason=f"{user.email} is no longer a member")
        return len(rows)

    def _rows(self, user: User, tenant: Tenant) -> QuerySet[AccessRequest]:
        rows = AccessRequest.objects.in_tenant(tenant).pending()
        return rows.filter(requested_by=user)
