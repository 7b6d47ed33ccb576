"""Giving and taking staff roles, on the page of a person."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.actions import end_staff_role, make_staff
from tenants.admin.base import go_to
from tenants.models import User
from tenants.permissions import signed_in
from tenants.roles import StaffRole


class StaffRoleForm(BaseDialogForm):  # type: ignore[misc]
    role = forms.ChoiceField(
        label=_("Staff role"), choices=StaffRole.choices, widget=UnfoldAdminSelectWidget()
    )


class StaffDeeds:
    """For the admin of people: who appoints staff does it here."""

    def has_appoint_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm("tenants.appoint_staff"))

    @action(
        description=_("Give staff role"),
        url_path="give-staff-role",
        permissions=["appoint"],
        icon="badge",
        dialog={
            "title": _("Give this person a staff role"),
            "description": _(
                "It holds in every tenant, from their next request on. Nobody gives one to themselves."
            ),
            "form_class": StaffRoleForm,
            "form_submit_text": _("Give role"),
        },
    )
    def give_staff_role(self, request: HttpRequest, form: StaffRoleForm, object_id: str) -> HttpResponse:
        return _do(request, object_id, make_staff, form.cleaned_data["role"], _("%(who)s is %(role)s now."))

    @action(
        description=_("Take staff role"),
        url_path="take-staff-role",
        permissions=["appoint"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Take a staff role from this person?"),
            "description": _("It ends with their next request. Without any role they are no longer staff."),
            "form_class": StaffRoleForm,
            "form_submit_text": _("Take role"),
        },
    )
    def take_staff_role(self, request: HttpRequest, form: StaffRoleForm, object_id: str) -> HttpResponse:
        role = form.cleaned_data["role"]
        return _do(request, object_id, end_staff_role, role, _("%(who)s is not %(role)s any more."))


def _do(request: HttpRequest, object_id: str, deed: Any, role: str, words: Any) -> HttpResponse:
    """Do it, say what came of it, and show the person again."""
    person = User.objects.get(pk=object_id)
    try:
        deed(person, role, by=signed_in(request))
    except PermissionDenied as refused:
        messages.error(request, str(refused))
    except ValidationError as refused:
        messages.error(request, " ".join(refused.messages))
    else:
        messages.success(request, words % {"who": person, "role": StaffRole(role).label.lower()})
    return go_to("admin:tenants_user_change", object_id)
