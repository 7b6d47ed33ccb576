"""Staff pages: grants, their owners, and revoking them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog, ReasonForm
from catalog.actions import revoke_grant
from catalog.models import AccessRequest, Grant
from core.stored_words import retold
from tenants.models import ApiKey


class GrantStateFilter(admin.SimpleListFilter):
    title, parameter_name = _("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        states = Grant.State
        return [
            (states.IN_FORCE, states.IN_FORCE.label),
            (states.SUSPENDED, states.SUSPENDED.label),
            ("over", _("Ended or revoked")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        found = {
            "in_force": Grant.objects.across_tenants().in_force,
            "suspended": Grant.objects.across_tenants().suspended,
            "over": Grant.objects.across_tenants().over,
        }.get(str(self.value()))
        return queryset.filter(pk__in=found().values("pk")) if found else queryset


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = ["model", "project", "tenant", "owner", "valid_until", "state_label"]
    list_filter = [GrantStateFilter]
    list_select_related = [
        "tenant",
        "project",
        "model",
        "owner",
        "revoked_by",
        "item__access_request",
        "item__key",
    ]
    search_fields = ["model__name", "project__name", "tenant__name", "owner__email"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "tenant", "project", "model", "owner", "access_request", "key", "valid_from", "valid_until", "suspended_at",
        "revoked_at", "revoked_by", "why_revoked",
    ]  # fmt: skip
    actions_detail = ["revoke"]

    @display(description=_("access request"))
    def access_request(self, grant: Grant) -> AccessRequest:
        return grant.item.access_request

    @display(description=_("key"))
    def key(self, grant: Grant) -> ApiKey | None:
        return grant.item.key

    @display(description=_("Reason"))
    def why_revoked(self, grant: Grant) -> str:
        return retold(grant.revoked_reason)

    @display(
        description=_("State"),
        label=Colors(in_force="success", suspended="warning", revoked="danger", later="info"),
    )
    def state_label(self, grant: Grant) -> tuple[str, Any]:
        return grant.state, Grant.State(grant.state).label

    revoke = Dialog(
        revoke_grant,
        label=_("Revoke"),
        url_path="revoke",
        is_dangerous=True,
        form=ReasonForm,
        title=_("Revoke this grant?"),
        text=_(
            "Every gateway refuses the project's calls to the model within seconds. This cannot be undone. Its owner "
            "and holders of its key are told the reason."
        ),
        button=_("Revoke"),
        done=_("Revoked: %(it)s"),
    )
