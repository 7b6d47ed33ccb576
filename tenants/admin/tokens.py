"""Personal access tokens, for operators: list them and revoke one."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from core.stored_words import retold
from tenants.actions import revoke_personal_access_token
from tenants.models import PersonalAccessToken

WORDS = {
    "active": _("Active"),
    "suspended": _("Suspended"),
    "expired": _("Expired"),
    "revoked": _("Revoked"),
}


@admin.register(PersonalAccessToken)
class PersonalAccessTokenAdmin(ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = [
        "name",
        "prefix",
        "user",
        "issued_by",
        "tenant",
        "state_label",
        "last_used_at",
        "expires_at",
    ]
    list_select_related = ["user", "issued_by", "tenant"]
    search_fields = ["name", "prefix", "user__email", "tenant__name"]
    ordering = ["-pk"]
    fields = [
        "user", "issued_by", "tenant", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at",
        "suspended_at", "why_suspended", "revoked_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["revoke"]

    @display(description=_("State"), label=Colors(active="success", suspended="warning"))
    def state_label(self, token: PersonalAccessToken) -> tuple[str, str]:
        return token.state, str(WORDS[token.state])

    @display(description=_("Reason of the suspension"))
    def why_suspended(self, token: PersonalAccessToken) -> str:
        return retold(token.suspended_reason)

    revoke = Dialog(
        revoke_personal_access_token,
        label=_("Revoke"),
        url_path="revoke",
        is_dangerous=True,
        title=_("Revoke this token?"),
        text=_("Programs that use this token get errors from their next call on. This cannot be undone."),
        button=_("Revoke token"),
        done=_("%(it)s is revoked."),
    )
