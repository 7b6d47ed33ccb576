"""Forms of the dialogs about versions of models."""

from __future__ import annotations

import shlex
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.dialogs import DialogForm
from catalog.fact_fields import WordList
from catalog.model_facts import MOST_TENANTS, MOST_TOKENS
from catalog.models import ModelVersion
from catalog.version_uses import use_of

_MOST_PARAMETERS = 10**15


def _line(label: Any, *, longest: int, help_text: Any = "", required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=longest,
        required=required,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget,
    )


class VersionForm(DialogForm):
    """The fields of a version that people may change now, as they are."""

    upstream_name = _line(
        gettext_lazy("Upstream name"), longest=200, help_text=gettext_lazy("Its name in the engine.")
    )
    image = _line(gettext_lazy("Container image"), longest=300)
    command = forms.CharField(
        label=gettext_lazy("Command"),
        max_length=20_000,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy(
            "As in a shell. {model}, {host} and {port} stand for the upstream name and the address to listen on. "
            "Empty: the image's own."
        ),
    )
    digest = _line(
        gettext_lazy("Digest"),
        longest=80,
        required=False,
        help_text=gettext_lazy("SHA-256 of the manifest of its files, such as sha256:9f86d0…"),
    )
    precision = _line(
        gettext_lazy("Precision"), longest=20, required=False, help_text=gettext_lazy("Such as bf16 or fp8.")
    )
    format = forms.ChoiceField(
        label=gettext_lazy("File format"),
        required=False,
        choices=[("", gettext_lazy("Not known")), *ModelVersion.Format.choices],
        widget=UnfoldAdminSelectWidget,
    )
    parameters = forms.IntegerField(
        label=gettext_lazy("Parameters"),
        required=False,
        min_value=1,
        max_value=_MOST_PARAMETERS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("How many numbers the weights are, such as 70000000000."),
    )
    context_tokens = forms.IntegerField(
        label=gettext_lazy("Context in tokens"),
        required=False,
        min_value=1,
        max_value=MOST_TOKENS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("If it differs from the model's."),
    )
    endpoints = WordList(
        most=20,
        label=gettext_lazy("Further endpoints"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("In addition to the kind of its model, such as embedding."),
    )
    gpus_per_replica = forms.IntegerField(
        label=gettext_lazy("GPUs per replica"),
        min_value=0,
        max_value=1024,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    memory = _line(gettext_lazy("Memory"), longest=20, help_text=gettext_lazy("Such as 80Gi."))
    visibility = forms.ChoiceField(
        label=gettext_lazy("Offered to"),
        choices=ModelVersion.Visibility.choices,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("Of the tenants that may use the model."),
    )
    only_for = WordList(
        most=MOST_TENANTS,
        longest=60,
        label=gettext_lazy("Chosen tenants"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Their short names, separated by commas."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = ModelVersion.objects.filter(pk=self.object_id).first() if self.object_id else None
        shown = row or ModelVersion(memory="16Gi")
        self.initial = {name: getattr(shown, name) for name in ModelVersion.EDITABLE}
        self.initial["command"] = shlex.join(shown.command)
        if row is not None and use_of(row.pk).is_deployed:
            # What deployments run stays.
            for name in ModelVersion.RUNS:
                del self.fields[name]

    def clean_command(self) -> list[str]:
        try:
            return shlex.split(self.cleaned_data["command"])
        except ValueError as error:
            raise forms.ValidationError(_("A quotation mark is missing.")) from error

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        return {"values": {name: value for name, value in said.items() if name in ModelVersion.EDITABLE}}


class NewVersionForm(VersionForm):
    """A new version: its name, the base of an adapter, and the rest."""

    model = _line(
        gettext_lazy("Model"), longest=120, help_text=gettext_lazy("Its public name, such as gpt-oss-120b.")
    )
    org = _line(
        gettext_lazy("Organization"),
        longest=60,
        help_text=gettext_lazy("Who made these weights: the first part of the name org/model/version."),
    )
    version = _line(gettext_lazy("Version"), longest=60)
    base = _line(
        gettext_lazy("Base version"),
        longest=200,
        required=False,
        help_text=gettext_lazy("For a LoRA adapter: the version that it changes, as org/model/version."),
    )

    field_order = ("model", "org", "version", "base")

    def clean_base(self) -> Any:
        name = self.cleaned_data["base"].strip()
        if not name:
            return None
        found = ModelVersion.objects.named(name).first()
        if found is None:
            raise forms.ValidationError(_("There is no such version."))
        return found.pk

    def answers(self) -> dict[str, Any]:
        said = self.cleaned_data
        return super().answers() | {name: said[name] for name in ("model", "org", "version", "base")}
