"""Forms of the dialogs about versions of the rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy, pgettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.dialogs import DialogForm
from accounts.permissions import signed_in
from catalog import rule_table
from catalog.models import Rule, Track
from catalog.models.rules import MOST_DAYS
from catalog.models.tracks import MOST_QUORUM
from catalog.rule_table import Outcome, Usage
from catalog.rules import RiskTier
from core.choices import PickField, offer
from core.ids import is_uuid
from tenants.models import DataClass, Limit, Tenant

_ANY = [("", pgettext_lazy("condition of a rule", "any"))]


class NoteForm(DialogForm):
    """What a new version changes, and why."""

    note = forms.CharField(
        label=gettext_lazy("What changes, and why"), max_length=500, widget=UnfoldAdminTextInputWidget
    )


class PlaceForm(DialogForm):
    """The number that a rule gets."""

    position = forms.IntegerField(
        label=gettext_lazy("New number"),
        min_value=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy(
            "All rules whose conditions hold count. Of those that require one track, the first explains it."
        ),
    )


class RuleForm(DialogForm):
    """A rule: its conditions, and what follows; those of the rule that is changed, or none."""

    usage = forms.ChoiceField(
        label=gettext_lazy("Use so far"),
        choices=[*_ANY, *Usage.choices],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy(
            "A condition that you leave empty holds for every request. All others must hold."
        ),
    )
    risk_tiers = forms.MultipleChoiceField(
        label=gettext_lazy("Risk tiers of the model"),
        choices=RiskTier.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    data_classes = forms.MultipleChoiceField(
        label=gettext_lazy("Data classes"),
        choices=DataClass.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    tenant = PickField(
        Tenant,
        by="slug",
        label=gettext_lazy("Tenant"),
        required=False,
        empty_label=gettext_lazy("All tenants"),
        widget=UnfoldAdminSelectWidget,
    )
    cost_above = forms.DecimalField(
        label=gettext_lazy("Expected cost a month above"),
        min_value=0,
        max_digits=16,
        decimal_places=2,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=gettext_lazy("In the currency of the prices. An unknown cost is above every amount."),
    )
    cost_up_to = forms.DecimalField(
        label=gettext_lazy("Expected cost a month up to"),
        min_value=0,
        max_digits=16,
        decimal_places=2,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
    )
    outside_regions = forms.CharField(
        label=gettext_lazy("No provider offers the model in"),
        max_length=400,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Regions with spaces between, such as eu us-east-1."),
    )
    limit_kind = forms.ChoiceField(
        label=gettext_lazy("Limit asked for"),
        choices=[*_ANY, *Limit.Kind.choices],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    limit_above = forms.DecimalField(
        label=gettext_lazy("Limit above"),
        min_value=0,
        max_digits=20,
        decimal_places=2,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=gettext_lazy("A request without such a limit asks for more than any number."),
    )
    outcome = forms.ChoiceField(
        label=gettext_lazy("What follows"), choices=Outcome.choices, widget=UnfoldAdminSelectWidget
    )
    track = PickField(
        Track,
        by="code",
        label=gettext_lazy("Track"),
        required=False,
        empty_label=pgettext_lazy("track", "none"),
        widget=UnfoldAdminSelectWidget,
    )
    quorum = forms.IntegerField(
        label=gettext_lazy("Approvals needed at least"),
        min_value=0,
        max_value=MOST_QUORUM,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Empty: as many as the track says. Never fewer than that."),
    )
    longest_days = forms.IntegerField(
        label=gettext_lazy("Longest duration in days"),
        min_value=1,
        max_value=MOST_DAYS,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    sentence = forms.CharField(
        label=gettext_lazy("Sentence for the requester"),
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "For a rejection: what to change. Otherwise it replaces the explanation made from the conditions."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "track", Track.objects.order_by("code"))
        tenants = Tenant.objects.visible_to(signed_in(self.request)).order_by("name")
        offer(self, "tenant", tenants, source=reverse("tenant-suggestions"))
        known = is_uuid(str(self.object_id))
        if known and (rule := Rule.objects.select_related("tenant").filter(pk=self.object_id).first()):
            self.initial = {name: getattr(rule, name) for name in Rule.EDITABLE} | {
                "track": rule.track_id,
                "tenant": rule.tenant.slug if rule.tenant else None,
                "outside_regions": " ".join(rule.outside_regions),
                "quorum": rule.quorum or None,
            }

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        track, tenant = said.pop("track"), said.pop("tenant")
        return {
            "wanted": rule_table.Rule(
                **said
                | {
                    "track": track.code if track else "",
                    "tenant": str(tenant.pk) if tenant else "",
                    "quorum": said["quorum"] or 0,
                    "longest_days": said["longest_days"] or 0,
                    "risk_tiers": tuple(said["risk_tiers"]),
                    "data_classes": tuple(said["data_classes"]),
                    "outside_regions": tuple(said["outside_regions"].lower().split()),
                }
            )
        }
