"""Forms in which operators create and change tenants."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import style
from accounts.models import User
from core.addresses import AddressFormField
from core.editing import sent_values
from core.errors import Conflict
from core.form_errors import show_errors
from core.local_days import zones_to_choose
from tenants.actions import create_tenant
from tenants.forms import TenantForm
from tenants.models import Tenant


class OperatorsTenantForm(TenantForm):
    """What operators decide about a tenant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].widget = forms.Select(
            choices=[(zone, zone) for zone in sorted(zones_to_choose())]
        )
        style(self)

    def refuse(self, error: ValidationError | Conflict) -> None:
        """Show the error of an action, beside its field if it has one."""
        if isinstance(error, Conflict):
            self.add_error(None, error.message)
            return
        show_errors(self, error)


class NewTenantForm(OperatorsTenantForm):
    """A new tenant and its first owner."""

    slug = forms.SlugField(
        label=_("Slug"),
        max_length=60,
        help_text=_("Used in addresses: /t/aurora-bank/. It cannot be changed later."),
    )
    first_owner = AddressFormField(
        label=_("E-mail address of the first owner"),
        help_text=_("Gets an invitation."),
    )
    field_order = ["name", "slug", "first_owner"]


def create_with_owner(form: NewTenantForm, *, by: User) -> Tenant | None:
    """Return the new tenant, or None with the reason as an error of the form."""
    try:
        return create_tenant(by=by, **sent_values(form))
    except (ValidationError, Conflict) as error:
        form.refuse(error)
        return None
