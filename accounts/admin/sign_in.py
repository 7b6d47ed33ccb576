"""Operators' actions for people who cannot sign in: unlock them, and reset a lost second factor."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts import lockout
from accounts.actions import reset_second_factor, unlock_sign_in
from accounts.admin.dialogs import Dialog, ReasonForm
from accounts.models import User
from accounts.second_factor import has_authenticator


class SignInActions:
    """Adds two columns and two actions to the admin of people."""

    @display(description=_("Second factor"), boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return has_authenticator(user)

    @display(description=_("Locked out"), boolean=True)
    def is_locked_out(self, user: User) -> bool:
        return lockout.is_locked(user)

    unlock = Dialog(
        unlock_sign_in,
        label=_("Unlock sign-in"),
        url_path="unlock",
        icon="lock_open",
        title=_("Unlock this person's sign-in?"),
        text=_("They can try again at once. First ask them whether the failed attempts were theirs."),
        button=_("Unlock"),
        done=_("Sign-in unlocked."),
    )

    reset = Dialog(
        reset_second_factor,
        label=_("Reset second factor"),
        url_path="reset-second-factor",
        is_dangerous=True,
        form=ReasonForm,
        title=_("Reset this person's second factor?"),
        text=_(
            "Their app and recovery codes stop working, and they are signed out everywhere. Until they "
            "set up another one, their password alone signs them in. Verify that the request really "
            "comes from them."
        ),
        button=_("Reset second factor"),
        done=_("Second factor reset."),
    )
