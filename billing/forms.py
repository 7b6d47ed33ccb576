"""Forms of the billing pages and of the admin."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.costs import months_with_usage, today_of
from billing.known_kinds import all_kinds
from core.choices import PickField, offer
from core.dates import month_label
from core.local_days import read_month
from exports.forms import format_field
from tenants.models import Project, Tenant


def month_choices(tenant: Tenant) -> list[date]:
    """The months a person can choose: this month and every month with usage, newest first."""
    this_month = today_of(tenant).replace(day=1)
    return sorted({this_month, *months_with_usage(tenant)}, reverse=True)


def month_choice(month: date) -> tuple[str, str]:
    """A month as a form sends it, and its label."""
    return f"{month:%Y-%m}", month_label(month)


class CostReportForm(forms.Form):
    """The costs that a report covers: a month, and one project or all."""

    month = forms.TypedChoiceField(label=_("Month"), coerce=read_month)
    project = PickField(
        Project,
        by="slug",
        label=_("Project"),
        required=False,
        to_field_name="slug",
        empty_label=_("All projects"),
    )
    format = format_field()

    def __init__(self, *args: Any, tenant: Tenant, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["month"].choices = [  # type: ignore[attr-defined]
            month_choice(month) for month in month_choices(tenant)
        ]
        projects = Project.objects.visible_to(user).in_tenant(tenant)
        offer(self, "project", projects, source=reverse("suggestions", args=[tenant.slug, "projects"]))


class StaffCostReportForm(forms.Form):
    """The tenant and month of a controller's cost report."""

    tenant = PickField(Tenant, by="slug", label=_("Tenant"))
    month = forms.CharField(
        label=_("Month"), help_text=_("As 2026-10."), widget=forms.TextInput(attrs={"type": "month"})
    )
    format = format_field()

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "tenant", Tenant.objects.visible_to(user), source=reverse("tenant-suggestions"))

    def clean_month(self) -> date:
        try:
            return read_month(self.cleaned_data["month"])
        except ValueError as error:
            raise forms.ValidationError(_("Write a month as 2026-10.")) from error


class PriceForm(forms.Form):
    """A model's next price list, per million, starting at a whole hour."""

    model = forms.CharField(label=_("Model"), max_length=120, help_text=_("Public name."))
    valid_from = forms.DateTimeField(
        label=_("From"),
        help_text=_("A full hour in UTC."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 3600}),
    )
    currency = forms.RegexField(r"^[A-Z]{3}$", label=_("Currency"), initial="USD")
    reason = forms.CharField(label=_("Reason"), max_length=300)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kinds = [kind for kind in all_kinds() if kind.is_known]
        for kind in self.kinds:
            self.fields[f"price_{kind.name}"] = forms.DecimalField(
                label=kind.words, required=False, min_value=Decimal(0), max_digits=18, decimal_places=8,
                help_text="" if kind.scale == 1 else _("Per million times 1/%(scale)d.") % {"scale": kind.scale},
            )  # fmt: skip

    def per_million(self) -> dict[str, Decimal]:
        """The prices that were entered, by kind."""
        prices = {kind.name: self.cleaned_data[f"price_{kind.name}"] for kind in self.kinds}
        return {kind: price for kind, price in prices.items() if price is not None}
