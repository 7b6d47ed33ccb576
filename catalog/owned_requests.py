"""Resources in the catalog that a departing member owns: access requests that wait for a decision.

Nobody else can take over a request, because four eyes depend on the person who made it.
"""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from catalog.actions.access_requests import withdraw_locked_request
from catalog.models import AccessRequest
from tenants.actions.owned_resources import OwnedKind, OwnedResource
from tenants.models import Tenant
from tenants.stored_sentences import IS_NO_LONGER_A_MEMBER


class OpenRequests(OwnedKind[AccessRequest]):
    """Undecided requests. Ending them means withdrawing them."""

    kind = "access_requests"
    label = gettext_lazy("Open access requests")
    end_label = gettext_lazy("Withdraw them")
    can_hand_over = False

    def rows(self, user: User, tenant: Tenant) -> QuerySet[AccessRequest]:
        rows = AccessRequest.objects.in_tenant(tenant).undecided().filter(requested_by=user)
        return rows.select_related("tenant").with_items()

    def describe(self, row: AccessRequest) -> OwnedResource:
        return OwnedResource(f"{row.reference} · {row.models_label}", row.projects_label)

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _("A request stays with the person who made it. Someone else can send a new one.")

    def give(self, row: AccessRequest, user: User, to: User, *, by: User) -> None:
        raise ValueError("A request stays with the person who made it; it cannot be transferred.")

    def end_row(self, row: AccessRequest, user: User, *, by: User) -> None:
        withdraw_locked_request(row, actor=by, reason=IS_NO_LONGER_A_MEMBER(person=user.email))
