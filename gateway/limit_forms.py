"""The forms of a project's limits: the calls they cover, and a number for each kind of limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.choices import HINT, MOST, PickField, SuggestingInput, pick_field
from tenants.models import ApiKey, Limit


class CallsForm(forms.Form):
    """The calls that a page of limits covers: of all keys or one, of all models together or one."""

    key = PickField(
        ApiKey,
        by="prefix",
        label=gettext_lazy("Calls with"),
        required=False,
        empty_label=gettext_lazy("All keys of the project"),
        error_messages={"invalid_choice": gettext_lazy("This project has no such key.")},
    )
    model = forms.CharField(label=gettext_lazy("Calls of"), required=False, max_length=120)

    def __init__(
        self, *args: Any, keys: Any, models: list[str], source: Callable[[str], str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.models = models
        pick_field(self, "key").offer(keys.current().order_by("-pk"), source=source("keys"), valid=keys)
        everything = _("All models together")
        pairs = [(name, name) for name in models]
        if len(models) <= MOST:
            self.fields["model"].widget = forms.Select(choices=[("", everything), *pairs])
            return
        self.fields["model"].widget = SuggestingInput(
            {"placeholder": everything}, source=source("models"), options=pairs[:MOST]
        )
        self.fields["model"].help_text = HINT

    def clean_key(self) -> ApiKey | None:
        """The key, even one that the form does not offer, such as one that has ended."""
        key: ApiKey | None = self.cleaned_data["key"]
        if key is not None:
            pick_field(self, "key").show(key)
        return key

    def clean_model(self) -> str:
        name: str = self.cleaned_data["model"]
        if name and name not in self.models:
            raise ValidationError(_("This project has no key for such a model."))
        return name


class LimitsForm(forms.Form):
    """One number for each kind; empty: no limit. The form sends back the shown values, so that only changes are set."""

    def __init__(self, *args: Any, currency: str, hints: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, label in Limit.Kind.choices:
            is_money = kind == Limit.Kind.MONEY_PER_MONTH
            options: dict[str, Any] = {
                "label": _("%(limit)s (%(currency)s)") % {"limit": label, "currency": currency}
                if is_money
                else label,
                "required": False,
                "help_text": hints[kind],
                "show_hidden_initial": True,
                "error_messages": {"invalid": _("Enter a number, such as 1000; empty means no limit.")},
            }
            placeholder = {"placeholder": _("No limit here"), "autocomplete": "off"}
            self.fields[kind] = (
                forms.DecimalField(**options, widget=forms.NumberInput(attrs=placeholder | {"min": "0"}))
                if is_money
                else forms.IntegerField(**options, widget=forms.NumberInput(attrs=placeholder | {"min": "1"}))
            )
