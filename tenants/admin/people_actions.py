"""What operators do to people: let them in no more, and let them in again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.base import go_to
from accounts.models import User
from accounts.permissions import signed_in
from core.errors import Conflict
from tenants.actions.people import (
    accounts_answered_for,
    deactivate_person,
    reactivate_person,
    tenants_without_owner_but,
    what_ends_for,
)


class DeactivateForm(BaseDialogForm):  # type: ignore[misc]
    """Shows what ends before it asks why."""

    form_before_template = "admin/tenants/deactivate_before.html"
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("It stands with each suspended key and token, for the people of their tenants to read."),
        widget=UnfoldAdminTextInputWidget(),
    )

    def get_before_template_context(
        self, request: HttpRequest, object_id: int | str | None = None
    ) -> dict[str, Any]:
        person = User.objects.get(pk=str(object_id))
        return {
            "impact": what_ends_for(person),
            "left_alone": tenants_without_owner_but(person),
            "accounts": accounts_answered_for(person),
            "is_from_directory": hasattr(person, "directory_entry"),
        }


class ReactivateForm(BaseDialogForm):  # type: ignore[misc]
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("For the audit log."),
        widget=UnfoldAdminTextInputWidget(),
    )


class PeopleActions:
    """For the page of a person: deactivate and reactivate."""

    def has_people_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm("accounts.manage_people"))

    @action(
        description=_("Deactivate"),
        url_path="deactivate",
        permissions=["people"],
        icon="person_off",
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Deactivate this person?"),
            "description": _(
                "Their sessions end; their keys and tokens are refused within seconds. Roles and data stay. You can "
                "reactivate them."
            ),
            "form_class": DeactivateForm,
            "form_submit_text": _("Deactivate"),
        },
    )
    def deactivate(self, request: HttpRequest, form: DeactivateForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, form, deactivate_person, _("%(person)s is deactivated."))

    @action(
        description=_("Reactivate"),
        url_path="reactivate",
        permissions=["people"],
        icon="person_check",
        dialog={
            "title": _("Reactivate this person?"),
            "description": _(
                "They can sign in again, and get back the keys and tokens that deactivating suspended, where they "
                "still belong. What somebody revoked stays revoked."
            ),
            "form_class": ReactivateForm,
            "form_submit_text": _("Reactivate"),
        },
    )
    def reactivate(self, request: HttpRequest, form: ReactivateForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, form, reactivate_person, _("%(person)s is let in again."))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Deactivate who is let in, reactivate who is not; nobody themselves, and only superusers a superuser."""
        actions = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        person = User.objects.filter(pk=object_id).first()
        return [one for one in actions if one.method.original_function_name not in _unfit(request, person)]

    def _decide(
        self, request: HttpRequest, object_id: str, form: forms.Form, action: Any, done: Any
    ) -> HttpResponse:
        person = User.objects.get(pk=object_id)
        try:
            action(person, by=signed_in(request), reason=form.cleaned_data["reason"])
        except (Conflict, PermissionDenied) as refused:
            if isinstance(refused, PermissionDenied) and not self.has_people_permission(request):
                raise
            messages.error(request, str(refused))
        else:
            messages.success(request, done % {"person": person})
        return go_to("admin:accounts_user_change", object_id)


def _unfit(request: HttpRequest, person: User | None) -> set[str]:
    both = {"deactivate", "reactivate"}
    if person is None or person == request.user or person.is_service_account or person.erased_at:
        return both
    if person.is_superuser and not getattr(request.user, "is_superuser", False):
        return both
    return {"reactivate"} if person.is_active else {"deactivate"}
