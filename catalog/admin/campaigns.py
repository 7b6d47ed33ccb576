"""Staff pages: attestation campaigns with their progress, and the attestations of one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog, DialogForm, ReasonForm
from accounts.permissions import signed_in
from catalog.actions import campaigns
from catalog.models import Attestation, AttestationCampaign, CatalogModel
from catalog.rules import RiskTier
from core.choices import PickField, offer
from core.dates import moment
from tenants.models import Tenant


class CampaignForm(DialogForm):
    """A new campaign: its name, its scope, and the last day for answers, in UTC."""

    name = forms.CharField(
        label=_("Name"), max_length=80, widget=UnfoldAdminTextInputWidget, help_text=_("Owners read it.")
    )
    tenant = PickField(
        Tenant,
        by="slug",
        label=_("Tenant"),
        required=False,
        empty_label=_("All"),
        widget=UnfoldAdminSelectWidget,
    )
    model = forms.CharField(
        label=_("Model"),
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Its public name. Empty: all."),
    )
    risk_tier = forms.ChoiceField(
        label=_("Risk tier"),
        choices=[("", pgettext_lazy("risk tier", "Any")), *RiskTier.choices],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    last_day = forms.DateField(
        label=_("Last day for answers"),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=_(
            "7 to 180 days ahead, in UTC. Owners are told now, halfway, and when a sixth of the time is left."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tenants = Tenant.objects.visible_to(signed_in(self.request)).order_by("name", "pk")
        offer(self, "tenant", tenants, source=reverse("tenant-suggestions"))

    def clean_model(self) -> CatalogModel | None:
        name = self.cleaned_data["model"]
        if not name:
            return None
        model = CatalogModel.objects.filter(name=name).first()
        if model is None:
            raise forms.ValidationError(gettext("There is no model with this name."))
        return model

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        end = datetime.combine(said.pop("last_day") + timedelta(days=1), time.min, UTC)
        return said | {"closes_at": end}


@admin.register(AttestationCampaign)
class AttestationCampaignAdmin(ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = ["name", "scope", "closes", "progress", "state_label"]
    list_filter = ["state"]
    list_select_related = ["only_tenant", "only_model", "created_by"]
    search_fields = ["name"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "name", "scope", "created_by", "created_at", "opened_at", "closes", "reminders", "reminded_at", "total",
        "confirmed", "dropped", "lapsed", "over", "pending_count", "rows", "ended_at",
    ]  # fmt: skip
    actions_list = ["start"]
    actions_detail = ["cancel"]
    empty_title = _("No campaigns")
    empty_text = _(
        "A campaign asks the owners of grants whether they still need them. What nobody confirms ends."
    )

    @display(description=_("Scope"))
    def scope(self, campaign: AttestationCampaign) -> str:
        said = [
            str(campaign.only_tenant or ""),
            str(campaign.only_model or ""),
            campaign.get_only_risk_tier_display() if campaign.only_risk_tier else "",
        ]
        return ", ".join(filter(None, said)) or gettext("All grants")

    @display(description=_("Closes"), ordering="closes_at")
    def closes(self, campaign: AttestationCampaign) -> str:
        return moment(campaign.closes_at)

    @display(description=pgettext_lazy("attestation", "Answered"))
    def progress(self, campaign: AttestationCampaign) -> str:
        words = ngettext("%(answered)s of %(n)s grant", "%(answered)s of %(n)s grants", campaign.total)
        return words % {"answered": campaign.total - campaign.pending, "n": campaign.total}

    @display(description=_("Without an answer"))
    def pending_count(self, campaign: AttestationCampaign) -> int:
        return campaign.pending

    @display(description=_("Attestations"))
    def rows(self, campaign: AttestationCampaign) -> str:
        url = reverse("admin:catalog_attestation_changelist")
        return format_html(
            '<a href="{}?campaign__id__exact={}">{}</a>', url, campaign.pk, gettext("Show them")
        )

    @display(description=_("State"), label=Colors(open="success", preparing="info", cancelled="warning"))
    def state_label(self, campaign: AttestationCampaign) -> tuple[str, str]:
        return campaign.state, campaign.get_state_display()

    start = Dialog(
        campaigns.start_campaign,
        label=_("Start a campaign"),
        url_path="start",
        icon="add",
        form=CampaignForm,
        title=_("Which grants must be confirmed?"),
        text=_(
            "Owners of all grants in the scope are told, and reminded twice. Grants that nobody confirms by the last "
            "day end: gateways refuse their calls. An answer “no longer needed” ends a grant at once."
        ),
        button=_("Start"),
        done=_("Started: %(it)s"),
    )
    cancel = Dialog(
        campaigns.cancel_campaign,
        label=_("Cancel the campaign"),
        url_path="cancel",
        is_dangerous=True,
        form=ReasonForm,
        title=_("Cancel this campaign?"),
        text=_("Nothing more lapses. Answers stay, and grants that they ended stay ended."),
        button=_("Cancel the campaign"),
        done=_("Cancelled: %(it)s"),
    )


@admin.register(Attestation)
class AttestationAdmin(ReadOnlyAdmin):
    list_display = ["grant", "tenant", "owner", "campaign", "answer_label", "answered_by", "answered_at"]
    list_filter = ["answer"]
    list_select_related = [
        "grant__model",
        "grant__project",
        "grant__owner",
        "tenant",
        "campaign",
        "answered_by",
    ]
    search_fields = ["tenant__name", "grant__model__name", "grant__owner__email"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "campaign",
        "tenant",
        "grant",
        "owner",
        "answer",
        "answered_by",
        "answered_at",
    ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "campaign__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description=_("Owner"))
    def owner(self, attestation: Attestation) -> str:
        return str(attestation.grant.owner or "—")

    @display(
        description=pgettext_lazy("attestation", "Answer"),
        label=Colors(confirmed="success", dropped="warning", lapsed="danger", pending="info"),
    )
    def answer_label(self, attestation: Attestation) -> tuple[str, str]:
        return attestation.answer, attestation.get_answer_display()
