"""Personal access tokens, for operators: whose there are, and revoking one."""

from __future__ import annotations

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from tenants.actions import revoke_personal_access_token
from tenants.admin.base import LookAdmin, go_to
from tenants.errors import Conflict
from tenants.models import PersonalAccessToken
from tenants.permissions import signed_in


@admin.register(PersonalAccessToken)
class PersonalAccessTokenAdmin(LookAdmin):
    list_display = ["name", "prefix", "user", "tenant", "state_label", "last_used_at", "expires_at"]
    list_select_related = ["user", "tenant"]
    search_fields = ["name", "prefix", "user__email", "tenant__name"]
    ordering = ["-pk"]
    fields = [
        "user", "tenant", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "suspended_at",
        "suspended_because", "revoked_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["revoke"]

    @display(description=_("State"), label={"active": "success", "suspended": "warning"})
    def state_label(self, token: PersonalAccessToken) -> str:
        return token.state

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm("tenants.manage_tokens"))

    @action(
        description=_("Revoke"),
        url_path="revoke",
        permissions=["revoke"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Revoke this token?"),
            "description": _(
                "Programs that use this token are refused from their next call on. This cannot be undone."
            ),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Revoke token"),
        },
    )
    def revoke(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        try:
            token = revoke_personal_access_token(object_id, by=signed_in(request))
        except Conflict as conflict:
            messages.error(request, conflict.message)
        else:
            messages.success(request, _("%(token)s is revoked.") % {"token": token})
        return go_to("admin:tenants_personalaccesstoken_change", object_id)
