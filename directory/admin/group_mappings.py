"""Group mappings, with a preview of who gains and loses what, and the accounts of people at the provider."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.actions import make_staff
from accounts.admin.base import Colors, ReadOnlyAdmin, style
from accounts.admin.dialogs import Dialog, DialogForm
from accounts.models import Source, User
from accounts.permissions import signed_in
from accounts.roles import StaffRole
from core.addresses import AddressFormField
from core.choices import PickField, offer
from core.errors import Conflict
from core.form_errors import show_errors
from directory import group_mappings
from directory.actions.group_mappings import (
    begin_group_mapping,
    draft_group_mapping,
    end_group_mapping,
)
from directory.actions.identities import link_identity, unlink_identity
from directory.group_mappings import LAST_OWNER, Change
from directory.models import FederatedIdentity, GroupMapping
from tenants.models import Tenant
from tenants.roles import Role

# A preview names at most this many people; its numbers count all of them.
SHOWN = 200
KEPT_WORDS = {
    Source.PERSON: _("stays: this role was given by hand"),
    LAST_OWNER: _("stays: the last owner of the tenant"),
}


class GroupMappingForm(forms.Form):
    """A group, and either a tenant with a role in it or a staff role."""

    group = forms.CharField(
        label=_("Group"),
        max_length=200,
        help_text=_("Exactly as the identity provider or directory writes it."),
        widget=UnfoldAdminTextInputWidget(),
    )
    tenant = PickField(
        Tenant,
        by="slug",
        label=_("Tenant"),
        required=False,
        empty_label=_("none: a staff role"),
    )
    role = forms.ChoiceField(
        label=_("Role in the tenant"),
        choices=[("", "—"), *Role.choices],
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )
    staff_role = forms.ChoiceField(
        label=_("Staff role"),
        choices=[("", "—"), *StaffRole.choices],
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tenants = Tenant.objects.visible_to(user).exclude(status="closed")
        offer(self, "tenant", tenants, source=f"{reverse('tenant-suggestions')}?among=open")
        style(self)
        if not make_staff.is_for(user):
            del self.fields["staff_role"]

    def draft(self) -> GroupMapping:
        """The mapping that the form describes. Raises ValidationError."""
        return draft_group_mapping(**self.cleaned_data)


@admin.register(GroupMapping)
class GroupMappingAdmin(ReadOnlyAdmin):
    """Mappings begin, are replaced and end on a page that first shows what changes, and for whom."""

    list_display = ["group", "gives", "state"]
    list_filter = ["role", "staff_role"]
    list_select_related = ["tenant"]
    search_fields = ["group", "tenant__name"]
    ordering = ["group", "pk"]
    fields = ["group", "gives", "state", "created_at", "applied_at"]
    readonly_fields = fields
    actions_list = ["begin"]
    actions_detail = ["replace", "end"]

    @display(description=_("Gives"))
    def gives(self, mapping: GroupMapping) -> str:
        if mapping.tenant is None:
            return mapping.get_staff_role_display()
        return _("%(role)s of %(tenant)s") % {"role": mapping.get_role_display(), "tenant": mapping.tenant}

    @display(description=_("State"), label=Colors(applied="success", applying="warning", ending="danger"))
    def state(self, mapping: GroupMapping) -> tuple[str, str]:
        if mapping.ended_at:
            return "ending", gettext("Ending")
        return (
            ("applied", gettext("In force")) if mapping.applied_at else ("applying", gettext("Being applied"))
        )

    def has_begin_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return begin_group_mapping.is_for(request.user)

    @action(description=_("New mapping"), url_path="begin", permissions=["begin"])
    def begin(self, request: HttpRequest) -> HttpResponse:
        return self._edit(request, None)

    @action(description=_("Replace"), url_path="replace", permissions=["begin"])
    def replace(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._edit(request, get_object_or_404(GroupMapping, pk=object_id, ended_at=None))

    @action(description=_("End"), url_path="end", permissions=["begin"], variant=ActionVariant.DANGER)
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET shows who loses what. POST ends the mapping, unless the preview has changed since."""
        mapping = get_object_or_404(GroupMapping, pk=object_id, ended_at=None)
        end_group_mapping.require(signed_in(request), mapping)
        changes = group_mappings.preview(ending=mapping)
        if request.method == "POST" and request.POST.get("seen") == _digest(mapping, changes):
            end_group_mapping(mapping.pk, by=signed_in(request))
            messages.success(request, _("The mapping has ended. Its roles are being taken away."))
            return redirect("admin:directory_groupmapping_changelist")
        return self._page(
            request, title=_("End this mapping?"), mapping=mapping, draft=mapping, changes=changes
        )

    def _edit(self, request: HttpRequest, old: GroupMapping | None) -> HttpResponse:
        """GET shows the form. POST shows the preview; a second POST with that preview's digest makes the change."""
        user = signed_in(request)
        if old is not None:
            end_group_mapping.require(user, old)
        initial = {"group": old.group, "tenant": old.tenant, "role": old.role, "staff_role": old.staff_role} if old else {}  # fmt: skip  # noqa: E501
        form = GroupMappingForm(request.POST or None, initial=initial, user=user)
        mapping, changes = None, None
        if form.is_valid():
            try:
                mapping = form.draft()
                begin_group_mapping.require(user, mapping)
                changes = group_mappings.preview(beginning=mapping, ending=old)
                if request.POST.get("seen") == _digest(mapping, changes):
                    begin_group_mapping(mapping, by=user, ending=old.pk if old else None)
                    messages.success(request, _("The mapping is in force. Its roles are being given."))
                    return redirect("admin:directory_groupmapping_changelist")
            except ValidationError as error:
                show_errors(form, error)
            except (Conflict, PermissionDenied) as error:
                form.add_error(None, str(error))
        title = _("Replace this mapping") if old else _("New mapping")
        return self._page(request, title=title, mapping=old, draft=mapping, form=form, changes=changes)

    def _page(
        self,
        request: HttpRequest,
        *,
        title: Any,
        mapping: GroupMapping | None,
        draft: GroupMapping | None,
        form: GroupMappingForm | None = None,
        changes: list[Change] | None = None,
    ) -> HttpResponse:
        is_invalid = form is not None and bool(form.errors)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": title, "form": form, "mapping": mapping,
            "preview": None if draft is None or changes is None or is_invalid else _as_preview(draft, changes),
            "is_outdated": bool(request.POST.get("seen")) and not is_invalid,
            "back": reverse("admin:directory_groupmapping_changelist"),
        }  # fmt: skip
        status = 422 if is_invalid else 409 if context["is_outdated"] else 200
        return TemplateResponse(request, "admin/directory/groupmapping/edit.html", context, status=status)


def _as_preview(mapping: GroupMapping, changes: list[Change]) -> dict[str, Any]:
    """The numbers of all changes, and rows for the first SHOWN."""
    kept = [change for change in changes if change.kept]
    losses = [change for change in changes if change.is_loss]
    gains = [change for change in changes if not change.kept and not change.is_loss]
    return {
        "gains": len(gains),
        "losses": len(losses),
        "kept": len(kept),
        "rows": [_as_row(change) for change in [*losses, *gains, *kept][:SHOWN]],
        "hidden": max(0, len(changes) - SHOWN),
        "digest": _digest(mapping, changes),
    }


def _as_row(change: Change) -> dict[str, Any]:
    labels = dict(StaffRole.choices if change.tenant is None else Role.choices)
    return {
        "person": change.person,
        "before": labels.get(change.before, _("no role")),
        "after": labels.get(change.after, _("no role")),
        "kind": "kept" if change.kept else "loss" if change.is_loss else "gain",
        "note": KEPT_WORDS.get(change.kept)
        or (_("keys and tokens there are suspended") if change.is_loss else ""),
    }


def _digest(mapping: GroupMapping, changes: list[Change]) -> str:
    """A digest of the preview: a mapping changes exactly what its author has seen, or nothing."""
    lines = [f"{change.person.pk} {change.before} {change.after} {change.kept}" for change in changes]
    what = f"{mapping.group} {mapping.tenant_id} {mapping.role} {mapping.staff_role}"
    return hashlib.sha256("\n".join([what, *lines]).encode()).hexdigest()


class LinkForm(DialogForm):
    email = AddressFormField(label=_("E-mail address of the account"), widget=UnfoldAdminTextInputWidget())
    subject = forms.CharField(
        label=_("Subject at the provider"), max_length=255, widget=UnfoldAdminTextInputWidget()
    )

    def clean_email(self) -> User:
        user = User.objects.filter(email=self.cleaned_data["email"]).first()
        if user is None:
            raise ValidationError(_("There is no account with this address."))
        return user

    def answers(self) -> dict[str, Any]:
        return {"user": self.cleaned_data["email"], "subject": self.cleaned_data["subject"]}


@admin.register(FederatedIdentity)
class FederatedIdentityAdmin(ReadOnlyAdmin):
    """Who signs in through the provider, to which account, and when the provider last vouched for them."""

    list_display = ["user", "subject", "state", "signed_in_at", "checked_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__name", "subject"]
    ordering = ["-pk"]
    fields = ["user", "issuer", "subject", "groups", "state", "signed_in_at", "checked_at", "refused_at"]
    readonly_fields = fields
    actions_list = ["link"]
    actions_detail = ["unlink"]

    @display(
        description=_("Checked"),
        label=Colors(often="success", at_sign_in="info", refused="danger"),
    )
    def state(self, identity: FederatedIdentity) -> tuple[str, str]:
        if identity.refused_at:
            return "refused", gettext("Refused")
        if identity.refresh_token:
            return "often", gettext("Every few minutes")
        return "at_sign_in", gettext("At sign-in")

    link = Dialog(
        link_identity,
        label=_("Link an account"),
        url_path="link",
        form=LinkForm,
        title=_("Link an account to a person at the provider"),
        text=_(
            "That person can then sign in to the account. The message they saw names their subject. "
            "Verify that it is theirs."
        ),
        button=_("Link"),
        done=_("%(it)s is linked."),
    )

    unlink = Dialog(
        unlink_identity,
        label=_("Unlink"),
        url_path="unlink",
        is_dangerous=True,
        title=_("Unlink this account?"),
        text=_(
            "Their sessions end, and they lose the roles from their groups. They cannot sign in through "
            "the provider until they are linked again."
        ),
        button=_("Unlink"),
        done=_("The account is unlinked."),
        ends_on="list",
    )
