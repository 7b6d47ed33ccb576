"""The forms of the operators' pages of providers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError
from django.forms.models import construct_instance
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.base import style
from accounts.admin.dialogs import DialogForm
from catalog.models import CatalogModel
from catalog.serving import servable_modes
from core.editing import sent_values
from core.form_errors import show_errors
from core.joined import named
from deployments import quota_counts
from deployments.list_setting_entry_points import LinesField, ListSettingForm
from deployments.models import Provider, ProviderCredential
from deployments.provider_credentials import NewCredential, clean_credential
from deployments.provider_fields import allowed_networks, clean_headers, clean_provider
from deployments.provider_impact import MOST_TENANTS, impact_of, whom_it_hits
from deployments.provider_networks import ALLOWED_NETWORKS
from deployments.provider_rotation import LONGEST_OVERLAP_HOURS
from deployments.provider_routing import routable_models
from deployments.provider_tests import require_reached
from deployments.providers.listing import Report

TESTS = [("yes", _("Test it before saving")), ("no", _("Save without a test: only gateways can reach it"))]


class HeadersField(forms.CharField):
    """Headers as people write them: one `name: value` per line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{name}: {said}" for name, said in value.items())
        return value

    def to_python(self, value: Any) -> Any:
        lines = [line for line in str(super().to_python(value) or "").splitlines() if line.strip()]
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, said = line.partition(":")
            if not colon:
                raise ValidationError(_("Write each header as name: value."))
            headers[name.strip()] = said.strip()
        return clean_headers(headers)


class RegionsField(SimpleArrayField):
    """Regions as people write them: separated by commas, with or without spaces; an empty part is none."""

    def to_python(self, value: Any) -> Any:
        parts = value if isinstance(value, list) else str(value or "").split(",")
        return [part for said in parts if (part := str(said).strip().lower())]


class YesNoField(forms.TypedChoiceField):
    """Yes or no. Unlike a check box, it shows whether a page sent it."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [(False, _("No")), (True, _("Yes"))]
        super().__init__(
            choices=choices,
            coerce=lambda said: said == "True",
            required=False,
            widget=UnfoldAdminSelectWidget,
            **kwargs,
        )

    def clean(self, value: Any) -> bool:
        return bool(super().clean(value))


def _receives_traces() -> YesNoField:
    field = Provider._meta.get_field("receives_traces")
    return YesNoField(label=capfirst(field.verbose_name), help_text=field.help_text)


def _regions() -> RegionsField:
    field = Provider._meta.get_field("regions")
    return RegionsField(
        forms.CharField(max_length=60),
        label=capfirst(field.verbose_name),
        help_text=field.help_text,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )


class CredentialFields(forms.Form):
    """A credential, as three fields. What is typed never comes back with the page."""

    credential_kind = forms.ChoiceField(
        label=_("Credential"),
        required=False,
        choices=[("", _("None")), *ProviderCredential.Kind.choices],
        widget=UnfoldAdminSelectWidget,
    )
    credential = forms.CharField(
        label=_("Key"),
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Encrypted when it is saved. Nobody can read it here afterwards."),
    )
    reference = forms.CharField(
        label=_("File or variable"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("On the gateways: a file below their directory of credentials, or a variable PROVIDER_…"),
    )

    def read_credential(self) -> NewCredential | None:
        """The credential of a cleaned form; None for none. Adds errors to the fields that they are about."""
        values = [
            self.cleaned_data.get(name) or "" for name in ("credential_kind", "credential", "reference")
        ]
        try:
            return clean_credential(*values)
        except ValidationError as error:
            show_errors(self, error)
            return None


def _say_who_shares_quotas(form: forms.BaseForm) -> None:
    if field := form.fields.get("requests_per_minute"):
        field.help_text = f"{field.help_text} {quota_counts.in_words()}"


class ProviderForm(CredentialFields, forms.ModelForm):  # type: ignore[type-arg]
    """A new provider. It is tested before it is saved; `report` is what the test found."""

    report: Report | None = None
    new_credential: NewCredential | None = None
    test = forms.ChoiceField(label=_("Test"), choices=TESTS, widget=UnfoldAdminSelectWidget)
    extra_headers = HeadersField(
        label=_("Extra headers"), required=False, help_text=_("One per line, as name: value. Never a secret.")
    )
    receives_traces = _receives_traces()
    regions = _regions()

    class Meta:
        model = Provider
        fields = ["name", *Provider.EDITABLE]
        error_messages = {"name": {"unique": _("A provider with this name already exists.")}}

    field_order = [
        "name",
        "title",
        "dialect",
        "base_url",
        "credential_kind",
        "credential",
        "reference",
        "test",
        "regions",
        "highest_data_class",
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _say_who_shares_quotas(self)

    @classmethod
    def in_order(cls) -> list[str]:
        """All fields as the page shows them: first what a test is about, so that its fault is in sight."""
        names: list[str] = list(cls.base_fields)
        return [*cls.field_order, *(name for name in names if name not in cls.field_order)]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        self.new_credential = self.read_credential()
        self.instance = construct_instance(self, self.instance)
        if not self.errors:
            clean_provider(self.instance, allowed_networks())
            if cleaned and cleaned["test"] == "yes":
                self.report = require_reached(self.instance, self.new_credential)
        return cleaned

    def _post_clean(self) -> None:
        """Validate what the database knows alone, such as a name that is taken; `clean` did the rest."""
        self.validate_unique()


class ChangeProviderForm(CredentialFields, forms.ModelForm):  # type: ignore[type-arg]
    """The fields of a provider that people change. The action tests and saves."""

    new_credential: NewCredential | None = None
    test = forms.ChoiceField(label=_("Test"), choices=TESTS, widget=UnfoldAdminSelectWidget)
    extra_headers = HeadersField(
        label=_("Extra headers"), required=False, help_text=_("One per line, as name: value. Never a secret.")
    )
    receives_traces = _receives_traces()
    regions = _regions()

    class Meta:
        model = Provider
        fields = list(Provider.EDITABLE)
        widgets = {
            "private_ca": UnfoldAdminTextareaWidget,
            "trains_on_data": forms.NullBooleanSelect,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [("", _("The one in force stays")), *ProviderCredential.Kind.choices]
        self.fields["credential_kind"].choices = kinds  # type: ignore[attr-defined]
        self.fields["credential"].help_text = _(
            "Replaces the one in force at once. Necessary if calls go to another server, proxy or private CA."
        )
        _say_who_shares_quotas(self)
        style(self)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            self.new_credential = self.read_credential()
        return cleaned

    def sent(self) -> dict[str, Any]:
        """The values that the page sent, for the action."""
        values = sent_values(self)
        for name in CredentialFields.base_fields:
            values.pop(name, None)
        is_tested = values.pop("test", "yes") == "yes"
        # The page shows this field only after the action has asked for it.
        is_confirmed = self.data.get("may_change_audience") == "on"
        return {
            **values,
            "is_tested": is_tested,
            "credential": self.new_credential,
            "may_change_audience": is_confirmed,
        }

    def ask(self, whom: str) -> None:
        """Say whom the change hits, and ask for a confirmation."""
        self.add_error(None, whom)
        self.fields["may_change_audience"] = forms.BooleanField(
            label=_("Change who can call these models"), required=False
        )
        style(self, "may_change_audience")

    def _post_clean(self) -> None:
        """Leave the row as it is; the action checks the values."""


class RotateForm(DialogForm, CredentialFields):
    overlap_hours = forms.IntegerField(
        label=_("Hours for which the old one stays valid"),
        min_value=0,
        max_value=LONGEST_OVERLAP_HOURS,
        initial=24,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("0 ends it at once."),
    )
    test = forms.ChoiceField(label=_("Test"), choices=TESTS, widget=UnfoldAdminSelectWidget)
    field_order = ["credential_kind", "credential", "reference", "overlap_hours", "test"]

    def __init__(self, *args: Any, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)  # type: ignore[call-arg]
        self.fields["credential_kind"].initial = ProviderCredential.Kind.STORED

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] | None = super().clean()
        self.new_credential = self.read_credential() if not self.errors else None
        if not self.errors and self.new_credential is None:
            self.add_error("credential", _("Enter the credential."))
        return cleaned

    def answers(self) -> dict[str, Any]:
        return {
            "credential": self.new_credential,
            "overlap_hours": self.cleaned_data["overlap_hours"],
            "is_tested": self.cleaned_data["test"] == "yes",
        }


class ImpactForm(DialogForm):
    """Shows what the action stops."""

    form_before_template = "admin/deployments/provider/impact.html"

    def get_before_template_context(self, request: HttpRequest, object_id: str = "") -> dict[str, Any]:
        provider = Provider.objects.visible_to(request.user).filter(pk=object_id).first()
        hits = whom_it_hits(provider, None) if provider else []
        return {
            "impact": impact_of(provider) if provider else [],
            "hits": hits[:MOST_TENANTS],
            "others": max(0, len(hits) - MOST_TENANTS),
        }


class NameModelForm(DialogForm):
    name = forms.CharField(
        label=_("Name at the provider"),
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As calls name it. For Azure OpenAI: the name of the deployment."),
    )
    mode = forms.ChoiceField(label=_("Mode"), required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        modes = [(mode, mode.replace("_", " ")) for mode in sorted(servable_modes())]
        self.fields["mode"].choices = [("", _("As in the catalog")), *modes]


class RouteModelsForm(DialogForm):
    """The provider's models that could be routed, to choose from."""

    models = forms.MultipleChoiceField(label=_("Models"), widget=UnfoldAdminCheckboxSelectMultipleWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        provider = Provider.objects.visible_to(self.request.user).filter(pk=self.object_id).first()
        self.fields["models"].choices = [
            (str(one.row.pk), named(f"{one.row.name} → {one.row.model}", one.effect))
            for one in (routable_models(provider) if provider else [])
        ]
        if not self.fields["models"].choices:
            self.fields["models"].help_text = _(
                "There is none to choose. Press Test to read its list again, name a model, or match its models with "
                "the catalog."
            )


class MatchForm(DialogForm):
    model = forms.CharField(
        label=_("Name of the model in the catalog"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Such as gpt-4o. Empty: none of the catalog."),
    )

    def clean_model(self) -> CatalogModel | None:
        name = self.cleaned_data["model"].strip()
        found = CatalogModel.objects.filter(name=name).first() if name else None
        if name and found is None:
            raise forms.ValidationError(_("The catalog has no model with this name."))
        return found


class ManagerForm(DialogForm):
    email = forms.CharField(
        label=_("E-mail address"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Of a member of the staff who is no operator. They use the API."),
    )
    is_manager = forms.ChoiceField(
        label=_("May manage this provider"),
        choices=[("yes", _("Yes")), ("no", _("No longer"))],
        widget=UnfoldAdminSelectWidget,
    )

    def answers(self) -> dict[str, Any]:
        return {"email": self.cleaned_data["email"], "is_manager": self.cleaned_data["is_manager"] == "yes"}


class NetworksForm(ListSettingForm):
    setting = ALLOWED_NETWORKS
    networks = LinesField(
        label=_("Networks, one per line"),
        required=False,
        help_text=_("Such as 10.20.0.0/16. Empty: public addresses only."),
    )
