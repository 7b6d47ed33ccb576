"""Forms of pages about members, and what all forms of a tenant's settings share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.addresses import AddressFormField
from core.choices import PickField, pick_field
from core.page_parts import Option
from tenants.actions.members import may_give
from tenants.actions.service_accounts import LONGEST_NAME
from tenants.models import Project, Tenant
from tenants.roles import PROJECT_ROLE_CHOICES, Role

ROLE_HINTS = {
    Role.OWNER: _("Does everything an admin may, and decides who else is an owner."),
    Role.ADMIN: _("Manages members, limits, keys, requests, costs, and reads the audit log."),
    Role.DEVELOPER: _("Asks for models, claims and revokes keys, sees costs."),
    Role.FINANCE: _("Sees and exports costs."),
    Role.VIEWER: _("Reads, and changes nothing."),
}


class RegionsField(SimpleArrayField):
    """Regions, separated by commas or spaces."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(
            ",".join(value.replace(",", " ").split()) if isinstance(value, str) else value
        )

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]
    """What can be changed about a tenant. An action saves it."""

    class Meta:
        model = Tenant
        fields = Tenant.EDITABLE
        field_classes: ClassVar = {"regions": RegionsField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A page that was open before a release does not send it.
        self.fields["answer_storage"].required = self.fields["degrading"].required = False

    def clean_answer_storage(self) -> str:
        return str(self.cleaned_data["answer_storage"] or self.instance.answer_storage)

    def clean_degrading(self) -> str:
        return str(self.cleaned_data["degrading"] or self.instance.degrading)

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()


class NewcomerForm(forms.Form):
    """Name and password of a person who accepts an invitation and has no account yet."""

    name = forms.CharField(
        label=_("Your name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        help_text=_("At least 12 characters, and not a common password."),
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
            self.add_error("password_again", _("The passwords differ."))
        return said


def role_options(user: User, tenant: Tenant, *, chosen: str, without: Iterable[str] = ()) -> list[Option]:
    """Return every role as a page offers it. Roles that `user` cannot give stay visible, with the reason.

    Args:
        user: who gives the role.
        tenant: the tenant.
        chosen: the selected role.
        without: roles to omit.
    """
    return [
        Option(
            value=role.value,
            label=role.label,
            hint=ROLE_HINTS[role],
            disabled=not may_give(user, tenant, role),
            reason=_("Only an owner can give this role."),
            checked=role == chosen,
        )
        for role in Role
        if role not in without
    ]


class InviteForm(forms.Form):
    """An address, and the role to offer it."""

    email = AddressFormField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text=_("They get a link that works once, only for this address."),
    )
    role = forms.ChoiceField(
        label=_("Role"), choices=Role.choices, initial=Role.DEVELOPER, widget=forms.RadioSelect
    )


class ServiceAccountForm(forms.Form):
    """A program's name and role."""

    name = forms.CharField(
        label=_("Name"), max_length=LONGEST_NAME, help_text=_("What it does, such as nightly-report.")
    )
    role = forms.ChoiceField(
        label=_("Role"),
        choices=PROJECT_ROLE_CHOICES,
        initial=Role.DEVELOPER,
        widget=forms.RadioSelect,
    )


class RoleForm(forms.Form):
    """Another role for a member. `confirmed` is set once the person who decides has seen the impact."""

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, widget=forms.RadioSelect)
    confirmed = forms.BooleanField(label=_("Confirmed"), required=False)


class ProjectRoleForm(forms.Form):
    """A role in one project; without one the tenant role applies. `confirmed` as in RoleForm."""

    project = PickField(Project, by="slug", label=_("Project"), empty_label=None)
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[("", _("Tenant role")), *PROJECT_ROLE_CHOICES],
        required=False,
    )
    confirmed = forms.BooleanField(label=_("Confirmed"), required=False)

    def __init__(
        self,
        *args: Any,
        projects: QuerySet[Project],
        offered: QuerySet[Project] | None = None,
        source: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        field = pick_field(self, "project")
        field.widget.attrs |= {"class": "sm", "aria-label": _("Project")}
        field.offer(projects if offered is None else offered, source=source, valid=projects)
