"""Keys and limits, for operators."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog, ReasonForm
from core.stored_words import retold
from tenants.actions import revoke_api_key
from tenants.models import ApiKey, Limit


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ["name", "prefix", "tenant", "project", "state_label", "last_used_at", "expires_at"]
    list_filter = ["state"]
    list_select_related = ["tenant", "project"]
    search_fields = ["name", "prefix", "tenant__name", "tenant__slug", "project__name", "project__slug"]
    ordering = ["-pk"]
    fields = [
        "tenant", "project", "name", "prefix", "model_names", "networks", "state", "owner", "created_for",
        "created_at", "claim_by", "claimed_by", "claimed_at", "expires_at", "suspended_at", "why_suspended",
        "revoked_at", "last_used_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["revoke"]

    @display(
        description=_("State"),
        label=Colors(active="success", claimable="warning", suspended="warning"),
    )
    def state_label(self, key: ApiKey) -> tuple[str, str]:
        if key.is_suspended:
            return "suspended", gettext("Suspended")
        if key.state == ApiKey.State.CLAIMABLE and not key.is_claimable:
            return "late", gettext("Claim date passed")
        return key.state, key.get_state_display()

    @display(description=_("Reason of the suspension"))
    def why_suspended(self, key: ApiKey) -> str:
        return retold(key.suspended_reason)

    revoke = Dialog(
        revoke_api_key,
        label=_("Revoke"),
        url_path="revoke",
        is_dangerous=True,
        form=ReasonForm,
        title=_("Revoke this key?"),
        text=_("Every gateway refuses calls with this key within seconds. This cannot be undone."),
        button=_("Revoke key"),
        done=_("%(it)s is revoked."),
    )


@admin.register(Limit)
class LimitAdmin(ReadOnlyAdmin):
    list_display = ["tenant", "project", "key", "model", "kind", "number", "is_hard"]
    list_filter = ["kind"]
    list_select_related = ["tenant", "project", "key"]
    search_fields = ["model", "tenant__name", "tenant__slug", "project__name", "project__slug"]
    ordering = ["-pk"]
    fields = ["tenant", "project", "key", "model", "kind", "number", "is_hard", "created_at"]
    readonly_fields = fields

    @display(description=_("Number"), ordering="value")
    def number(self, limit: Limit) -> str:
        return f"{limit.value.normalize():,f}"
