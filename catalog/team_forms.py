"""Forms of the dialogs about teams of reviewers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.dialogs import DialogForm

_BELONGS = [("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No longer"))]


class TeamForm(DialogForm):
    """A new team."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget)


class TeamMemberForm(DialogForm):
    """A person, and whether they belong to the team."""

    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Of a person with a reviewer's role."),
    )
    belongs = forms.ChoiceField(
        label=gettext_lazy("Belongs to this team"), choices=_BELONGS, widget=UnfoldAdminSelectWidget
    )

    def answers(self) -> dict[str, Any]:
        return super().answers() | {"belongs": self.cleaned_data["belongs"] == "yes"}
