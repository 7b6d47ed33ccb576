"""Forms of operators for changes that take effect at a chosen time."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.dialogs import DialogForm
from catalog.actions.planned_changes import LONGEST_REASON
from catalog.model_impact import ModelImpact, impact_of
from catalog.models import CatalogModel

# Fields that every form of a change has.
TIMING: Final = ("takes_effect_at", "reason")


def moment_field() -> forms.DateTimeField:
    """Asks when a change takes effect; empty for now."""
    return forms.DateTimeField(
        label=gettext_lazy("Takes effect"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text=gettext_lazy("In UTC; empty for now. Until then it can be undone."),
    )


def owners_reason_field() -> forms.CharField:
    """Asks for the reason that owners read."""
    return forms.CharField(
        label=gettext_lazy("Reason, for the owners"),
        required=False,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy(
            "The owners of tenants that use the model are told of the change, with this reason."
        ),
    )


class EndForm(DialogForm):
    """When a model is deprecated or retired, why, and what follows it; above, whom that touches.

    If that is something else by the time of sending, the dialog comes back with what it is then.
    """

    successor = forms.CharField(
        label=gettext_lazy("Successor"),
        required=False,
        max_length=120,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Public name of the model to use instead. Empty: as it is."),
    )
    takes_effect_at = moment_field()
    reason = owners_reason_field()
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = CatalogModel.objects.filter(pk=self.object_id).first()
        self.impact = impact_of([model.pk] if model else [])
        self.initial |= {"successor": model.successor if model else "", "seen": _digest(self.impact)}

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if said.get("seen", "") != _digest(self.impact):
            form: Any = self
            form.data = form.data.copy()
            form.data["seen"] = _digest(self.impact)
            raise forms.ValidationError(_("What this touches has changed. Look at it again."))
        return said

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        del said["seen"]
        return said | {"may_touch_tenants": True}

    def render_before_template(self) -> SafeString:
        return format_html("{}{}", impact_html(self.impact), super().render_before_template())


def impact_html(impact: ModelImpact) -> SafeString:
    """What a change touches, a line for each; or that it touches nobody."""
    if not impact:
        return format_html('<p class="t2">{}</p>', _("No tenant uses this or asks for it."))
    return format_html_join("", "<p>{}</p>", ((sentence,) for sentence in impact.sentences))


def _digest(impact: ModelImpact) -> str:
    """Changes with whom something touches; calls and money grow all the time. Empty if it touches nobody."""
    if not impact:
        return ""
    said = [impact.tenants, impact.projects, impact.grants, impact.requests, impact.keys]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
