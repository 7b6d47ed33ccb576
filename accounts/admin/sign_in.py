"""What operators do for people who cannot sign in: unlocking, and resetting a lost second factor."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import lockout
from accounts.actions import reset_second_factor, unlock_sign_in
from accounts.admin.base import go_to
from accounts.models import User
from accounts.permissions import signed_in
from accounts.second_factor import has_authenticator
from core.errors import Conflict


class ReasonForm(BaseDialogForm):  # type: ignore[misc]
    reason = forms.CharField(label=_("Reason"), max_length=500, widget=UnfoldAdminTextInputWidget())


class SignInActions:
    """For the admin of people: two columns to look at, two actions."""

    @display(description=_("Second factor"), boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return has_authenticator(user)

    @display(description=_("Locked out"), boolean=True)
    def is_locked_out(self, user: User) -> bool:
        return lockout.is_locked(user)

    def has_help_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return signed_in(request).is_operator

    @action(
        description=_("Unlock sign-in"),
        url_path="unlock",
        permissions=["help"],
        icon="lock_open",
        dialog={
            "title": _("Unlock this person's sign-in?"),
            "description": _(
                "They can try again at once. Ask them first whether the failed attempts were theirs."
            ),
            "form_class": None,
            "form_submit_text": _("Unlock"),
        },
    )
    def unlock(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return _done(request, object_id, unlock_sign_in, _("Sign-in unlocked."))

    @action(
        description=_("Reset second factor"),
        url_path="reset-second-factor",
        permissions=["help"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Reset this person's second factor?"),
            "description": _(
                "Their app and recovery codes stop working, and they are signed out everywhere. Until they set up "
                "another one their password alone signs them in: make sure that it is really them who asks."
            ),
            "form_class": ReasonForm,
            "form_submit_text": _("Reset second factor"),
        },
    )
    def reset(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return _done(request, object_id, reset_second_factor, _("Second factor reset."), reason=reason)


def _done(request: HttpRequest, object_id: str, action: Any, words: Any, **details: Any) -> HttpResponse:
    """Do it, say what came of it, and show the person again."""
    try:
        action(object_id, by=signed_in(request), **details)
        messages.success(request, words)
    except Conflict as conflict:
        messages.error(request, conflict.message)
    except PermissionDenied as denied:
        messages.error(request, str(denied))
    return go_to("admin:accounts_user_change", object_id)
