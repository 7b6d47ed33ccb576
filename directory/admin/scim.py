"""The directory's tokens and the groups it has sent, for operators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog, DialogForm
from directory.actions.scim_tokens import (
    LONGEST_LIFE,
    confirm_scim_token,
    issue_scim_token,
    renew_scim_token,
    revoke_scim_token,
)
from directory.models import DirectoryGroup, ScimToken
from directory.scim.mapping import location


class IssueForm(DialogForm):
    name = forms.CharField(
        label=_("Name of the directory"),
        max_length=80,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The audit log shows it with every change by the directory."),
    )
    days = forms.IntegerField(
        label=_("Valid for days"),
        min_value=1,
        max_value=LONGEST_LIFE.days,
        initial=LONGEST_LIFE.days,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def answers(self) -> dict[str, Any]:
        return {"name": self.cleaned_data["name"], "life": timedelta(days=self.cleaned_data["days"])}


def _show(made: tuple[ScimToken, str]) -> SafeString:
    """Show the token in the dialog that created it; no message, session or cache holds it."""
    token, secret = made
    context = {"token": token, "secret": secret, "base": location("").rstrip("/")}
    return render_to_string("admin/directory/scim_token.html", context)


@admin.register(ScimToken)
class ScimTokenAdmin(ReadOnlyAdmin):
    list_display = ["name", "prefix", "state", "made_by", "last_used_at", "expires_at"]
    list_select_related = ["made_by"]
    search_fields = ["name", "prefix"]
    ordering = ["-pk"]
    fields = [
        "name", "prefix", "state", "created_at", "made_by", "confirmed_at", "confirmed_by", "replaces",
        "last_used_at", "expires_at", "revoked_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_list = ["issue"]
    actions_detail = ["confirm", "renew", "revoke"]

    @display(
        description=_("State"),
        label=Colors(active="success", waiting="warning", expired="warning", revoked="danger"),
    )
    def state(self, token: ScimToken) -> tuple[str, str]:
        if token.revoked_at:
            return "revoked", gettext("Revoked")
        if token.expires_at <= now():
            return "expired", gettext("Expired")
        if token.confirmed_at:
            return "active", gettext("Active")
        return "waiting", gettext("Waits for a second person")

    issue = Dialog(
        issue_scim_token,
        label=_("Issue a token"),
        url_path="issue",
        icon="add",
        form=IssueForm,
        title=_("Issue a token for a directory"),
        text=_(
            "Anyone who has it can create, change and deactivate people and set their groups. It is "
            "shown once, here, and does not work until a second person confirms it."
        ),
        button=_("Issue"),
        show=_show,
    )

    confirm = Dialog(
        confirm_scim_token,
        label=_("Confirm"),
        url_path="confirm",
        icon="check",
        title=_("Confirm this token?"),
        text=_(
            "Anyone who has it can create, change and deactivate people and set their groups, and "
            "thereby give every role with a group mapping. Ask its creator what it is for, and whether "
            "only the directory has it. The token that it replaces works for one more day."
        ),
        button=_("Confirm"),
        done=_("%(it)s works from now on."),
    )

    renew = Dialog(
        renew_scim_token,
        label=_("Renew"),
        url_path="renew",
        icon="autorenew",
        title=_("Create another token?"),
        text=_(
            "A second person must confirm it. After that the old token works for one more day, so that "
            "you can change it in the directory."
        ),
        button=_("Renew"),
        show=_show,
    )

    revoke = Dialog(
        revoke_scim_token,
        label=_("Revoke"),
        url_path="revoke",
        icon="block",
        is_dangerous=True,
        title=_("Revoke this token?"),
        text=_(
            "It stops working at the next request. Until the directory has another one, it can neither "
            "deactivate people who leave nor create new ones."
        ),
        button=_("Revoke"),
        done=_("%(it)s is revoked."),
    )


@admin.register(DirectoryGroup)
class DirectoryGroupAdmin(ReadOnlyAdmin):
    """Groups as the directory sends them. Group mappings give their members roles."""

    list_display = ["display_name", "size", "changed_at"]
    search_fields = ["display_name", "external_id"]
    ordering = ["display_name"]
    fields = ["display_name", "external_id", "size", "some_members", "created_at", "changed_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[DirectoryGroup]:
        rows: QuerySet[DirectoryGroup] = super().get_queryset(request).annotate(size=Count("members"))
        return rows

    @display(description=_("Members"), ordering="size")
    def size(self, group: DirectoryGroup) -> int:
        counted: int = group.size  # type: ignore[attr-defined]
        return counted

    @display(description=_("Among them"))
    def some_members(self, group: DirectoryGroup) -> str:
        return ", ".join(str(user) for user in group.members.order_by("name", "email")[:20]) or "—"
