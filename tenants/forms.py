"""Forms of pages about members."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tenants.roles import Role

ROLE_HINTS = {
    Role.OWNER: _("Everything an admin may, and decides who else is an owner."),
    Role.ADMIN: _("Members, limits, keys, requests, costs and the audit trail."),
    Role.DEVELOPER: _("Asks for models, claims and revokes keys, sees costs."),
    Role.FINANCE: _("Sees and exports costs."),
    Role.VIEWER: _("Looks, and changes nothing."),
}


class NewcomerForm(forms.Form):
    """Name and password of somebody who accepts an invitation and has no account yet."""

    name = forms.CharField(
        label=_("Your name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        help_text=_("At least 12 characters, and none that everybody uses."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password_again = forms.CharField(
        label=_("Password again"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        first, again = said.get("password"), said.get("password_again")
        if first and again and first != again:
            self.add_error("password_again", _("This differs from the password above."))
        return said
