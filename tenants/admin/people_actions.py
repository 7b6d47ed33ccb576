"""Operators' actions on people: deactivate and reactivate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin.dialogs import Dialog, DialogForm, reason_field
from accounts.models import User
from tenants.actions.people import (
    accounts_answered_for,
    deactivate_person,
    reactivate_person,
    tenants_without_owner_but,
    what_ends_for,
)


class DeactivateForm(DialogForm):
    """Shows what ends before it asks for the reason."""

    form_before_template = "admin/tenants/deactivate_before.html"
    reason = reason_field(
        max_length=200,
        help_text=_("Members of their tenants see it with each suspended key and token."),
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


class ReactivateForm(DialogForm):
    reason = reason_field(max_length=200, help_text=_("For the audit log."))


def _by_id(action: Callable[..., object]) -> Callable[..., User]:
    """Adapt the action on a person to a dialog, which knows only their id."""

    def on_person(pk: str, *, by: User, reason: str) -> User:
        person = User.objects.get(pk=pk)
        action(person, by=by, reason=reason)
        return person

    return on_person


class PeopleActions:
    """Adds deactivate and reactivate to the page of a person."""

    deactivate = Dialog(
        deactivate_person,
        call=_by_id(deactivate_person),
        label=_("Deactivate"),
        url_path="deactivate",
        icon="person_off",
        is_dangerous=True,
        form=DeactivateForm,
        title=_("Deactivate this person?"),
        text=_(
            "Their sessions end, and their keys and tokens stop within seconds. Roles and data stay. You "
            "can reactivate them."
        ),
        button=_("Deactivate"),
        done=_("%(it)s is deactivated."),
    )

    reactivate = Dialog(
        reactivate_person,
        call=_by_id(reactivate_person),
        label=_("Reactivate"),
        url_path="reactivate",
        icon="person_check",
        form=ReactivateForm,
        title=_("Reactivate this person?"),
        text=_(
            "They can sign in again, and get back the keys and tokens that deactivation suspended, in "
            "tenants where they are still members. Revoked ones stay revoked."
        ),
        button=_("Reactivate"),
        done=_("%(it)s is reactivated."),
    )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Show deactivate for active people and reactivate for inactive ones. Tenants manage service accounts."""
        person = User.objects.filter(pk=object_id).first()
        unfit = {"deactivate", "reactivate"}
        if person is not None and not person.is_service_account:
            unfit.remove("deactivate" if person.is_active else "reactivate")
        buttons = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [button for button in buttons if button.method.original_function_name not in unfit]
