"""Forms in which operators create and change tenants."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.models import User
from core.addresses import AddressFormField
from core.errors import Conflict
from core.local_days import zones_to_choose
from tenants.actions import create_tenant
from tenants.models import DataClass, Tenant


def _text(
    label: Any, *, most: int, required: bool = True, hint: Any = "", initial: str = ""
) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=most,
        required=required,
        help_text=hint,
        initial=initial,
        widget=UnfoldAdminTextInputWidget(),
    )


class TenantForm(forms.Form):
    """What operators decide about a tenant."""

    name = _text(_("Name"), most=120)
    cost_centre = _text(_("Cost centre"), most=60, required=False)
    timezone = forms.ChoiceField(
        label=_("Time zone"), initial="UTC", widget=UnfoldAdminSelectWidget(), choices=list
    )
    currency = _text(_("Billing currency"), most=3, hint=_("It stays once there is usage."), initial="USD")
    regions = _text(
        _("Allowed regions"), most=500, required=False, hint=_("Such as eu, us-east-1. Empty: any.")
    )
    highest_data_class = forms.ChoiceField(
        label=_("Highest data class"),
        choices=DataClass.choices,
        initial=DataClass.INTERNAL,
        help_text=_("Nobody in the tenant can ask to send more sensitive data to a model."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].choices = [  # type: ignore[attr-defined]
            (zone, zone) for zone in sorted(zones_to_choose())
        ]

    @staticmethod
    def values_of(tenant: Tenant) -> dict[str, Any]:
        """The form's initial values."""
        names = ("name", "cost_centre", "timezone", "currency", "highest_data_class")
        return {name: getattr(tenant, name) for name in names} | {"regions": ", ".join(tenant.regions)}

    def clean_regions(self) -> list[str]:
        return str(self.cleaned_data["regions"]).replace(",", " ").split()

    def refuse(self, error: ValidationError | Conflict) -> None:
        """Show what an action refused, beside its field where there is one."""
        if isinstance(error, Conflict):
            self.add_error(None, error.message)
            return
        for name, texts in error.message_dict.items():
            self.add_error(name if name in self.fields else None, texts)


class NewTenantForm(TenantForm):
    """A new tenant and its first owner."""

    slug = forms.SlugField(
        label=_("Slug"),
        max_length=60,
        help_text=_("Stands in addresses: /t/aurora-bank/. It cannot be changed later."),
        widget=UnfoldAdminTextInputWidget(),
    )
    first_owner = AddressFormField(
        label=_("E-mail address of the first owner"),
        help_text=_("Gets an invitation."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "email"}),
    )
    field_order = ["name", "slug", "first_owner"]


def create_with_owner(form: NewTenantForm, *, by: User) -> Tenant | None:
    """The new tenant; None with the form saying why not."""
    try:
        return create_tenant(by=by, **form.cleaned_data)
    except (ValidationError, Conflict) as error:
        form.refuse(error)
        return None
