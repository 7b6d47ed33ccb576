"""The forms of the operators' pages of models, made of the declared facts."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.base import style
from accounts.admin.dialogs import DialogForm
from catalog.model_facts import FACTS, as_json
from catalog.models import CatalogModel
from catalog.planned_forms import TIMING, moment_field, owners_reason_field
from catalog.provenance import FactRow, fact_rows
from catalog.publishing_forms import despite_field
from core.dates import day_and_year
from core.form_errors import ShowsErrorsOfHiddenFields

CONFIRMS = "may_touch_tenants"


class CurateForm(ShowsErrorsOfHiddenFields, forms.Form):
    """Every fact of one model. What the page showed travels with it, so that only what a person changed is saved."""

    seen = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, model: CatalogModel) -> None:
        self.model = model
        present = {name: as_json(getattr(model, name)) for name in FACTS}
        super().__init__(data, initial={**present, "seen": json.dumps(present)})
        for row in fact_rows(model):
            field = row.fact.field()
            field.label, field.help_text = row.label, source_words(row)
            self.fields[row.name] = field
        self.fields |= {"takes_effect_at": moment_field(), "reason": owners_reason_field()}
        if data is not None and data.get(CONFIRMS):
            self._ask_confirmation()
        style(self, *FACTS, *TIMING)

    def clean_seen(self) -> dict[str, Any]:
        try:
            seen = json.loads(self.cleaned_data["seen"])
        except ValueError:
            seen = None
        if not isinstance(seen, dict):
            raise forms.ValidationError(_("This page is incomplete. Open it again."))
        return seen

    def answers(self) -> dict[str, Any]:
        """The arguments of the action. A fact that the page did not have, or that nobody changed, is left out."""
        seen = self.cleaned_data["seen"]
        values = {
            name: value
            for name, value in self.cleaned_data.items()
            if name in FACTS and name in seen and name in self.data and as_json(value) != seen[name]
        }
        timing = {name: self.cleaned_data[name] for name in TIMING}
        return {"values": values, "seen": seen, CONFIRMS: bool(self.cleaned_data.get(CONFIRMS)), **timing}

    def ask(self, words: str) -> None:
        """Say whom the change touches, and ask for a confirmation."""
        self.add_error(None, words)
        self._ask_confirmation()

    def show_newer(self, words: str) -> None:
        """Say what somebody else changed. What this person typed stays; saving again sets it, knowingly."""
        self.add_error(None, words)
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        present = {name: as_json(getattr(self.model, name)) for name in FACTS}
        for name, value in present.items():
            # What this person left alone follows the newer value.
            if as_json(self.cleaned_data.get(name)) == self.cleaned_data["seen"].get(name):
                data[name] = self.fields[name].prepare_value("" if value is None else value)
        data["seen"] = json.dumps(present)
        self.data = data

    def _ask_confirmation(self) -> None:
        self.fields[CONFIRMS] = forms.BooleanField(
            label=_("Save it, although tenants use or ask for this model"), required=False
        )
        # Right below the sentence that says whom it touches.
        self.order_fields(["seen", CONFIRMS, *TIMING])


class CurateManyForm(ShowsErrorsOfHiddenFields, forms.Form):
    """The facts that many models may share. An empty one stays as it is."""

    publishes = forms.ChoiceField(
        label=gettext_lazy("Publish"),
        required=False,
        choices=[
            ("", gettext_lazy("As it is")),
            ("yes", gettext_lazy("Publish those that can be published")),
        ],
    )
    despite = despite_field(widget=None)
    may_replace = forms.ChoiceField(
        label=gettext_lazy("What operators have entered before"),
        required=False,
        choices=[("", gettext_lazy("Stays")), ("yes", gettext_lazy("Is replaced"))],
    )
    takes_effect_at = moment_field()
    reason = owners_reason_field()
    expected = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: Any = None, *, may_publish: bool) -> None:
        super().__init__(data)
        if not may_publish:
            del self.fields["publishes"], self.fields["despite"]
        facts = {fact.name: fact.field() for fact in FACTS.values() if fact.is_shared}
        for name, field in facts.items():
            field.label, field.required = str(FACTS[name].label), False
            if isinstance(field, forms.ChoiceField):
                choices: Any = field.choices
                field.choices = [("", _("As it is")), *((value, label) for value, label in choices if value)]
            self.fields[name] = field
        self.order_fields([*facts, "publishes", "despite", "may_replace", *TIMING, "expected"])
        if data is not None and data.get(CONFIRMS):
            self.ask()
        style(
            self, *facts, *(name for name in ("publishes", "despite", "may_replace") if name in self.fields)
        )

    def ask(self) -> None:
        """Ask for a confirmation that tenants are touched."""
        self.fields[CONFIRMS] = forms.BooleanField(
            label=_("Save it, although tenants use or ask for these models"), required=False
        )
        self.order_fields([CONFIRMS, *TIMING])

    def timing(self) -> dict[str, Any]:
        """When the change takes effect, and what owners read: the other arguments of the action."""
        return {name: self.cleaned_data[name] for name in TIMING}

    def answers(self) -> dict[str, Any]:
        """The arguments of the plan, and of the action."""
        said = self.cleaned_data
        values = {name: said[name] for name in FACTS if name in said and said[name] not in (None, "", [])}
        return {
            "values": values,
            "may_replace": said.get("may_replace") == "yes",
            "publishes": said.get("publishes") == "yes",
            "despite": said.get("despite", ""),
        }

    def expect(self, digest: str) -> None:
        """Let the page send the digest of the plan that it shows."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        data["expected"] = digest
        self.data = data


def source_words(row: FactRow) -> str:
    """Where a value comes from, and what the import says if it differs."""
    words = f"{row.source_label}, {day_and_year(row.at)}" if row.at else ""
    if row.stated is None:
        return words
    stated = _("The import says “%(value)s”.") % {"value": row.stated_words[:200]}
    return f"{words}. {stated}" if words else stated


TAKE, KEEP = "take", "keep"


class SettleForm(DialogForm):
    """One question for each fact that differs: take the import's value, or keep the present one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = CatalogModel.objects.filter(pk=self.object_id).first()
        for row in fact_rows(model) if model else []:
            if row.is_differing:
                self.fields[f"fact_{row.name}"] = forms.ChoiceField(
                    label=row.label,
                    choices=[
                        ("", gettext_lazy("Decide later")),
                        (KEEP, _("Keep “%(value)s”") % {"value": row.words[:100]}),
                        (TAKE, _("Take “%(value)s”") % {"value": row.stated_words[:100]}),
                    ],
                    required=False,
                    widget=UnfoldAdminSelectWidget,
                )

    def answers(self) -> dict[str, Any]:
        said = {name.removeprefix("fact_"): value for name, value in super().answers().items()}
        return {
            TAKE: [name for name, value in said.items() if value == TAKE],
            KEEP: [name for name, value in said.items() if value == KEEP],
        }
