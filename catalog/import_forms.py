"""Forms of the operators' pages about imports."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from accounts.admin.base import style
from accounts.admin.dialogs import DialogForm
from billing.known_kinds import words_of
from catalog.model_facts import FACTS
from catalog.models import ImportEntry
from catalog.price_map.formats import FORMATS
from catalog.price_map.reading import MOST_BYTES

CONFIRMS: Final = "may_take_held"
# The prices that a person corrects by hand.
PRICES: Final = ("input", "output", "cache_read")
# The facts that a person corrects by hand.
CORRECTED: Final = ("title", "maker", "context_tokens", "max_output_tokens", "licence")


class UploadForm(forms.Form):
    """A file, and what it is."""

    format = forms.ChoiceField(label=gettext_lazy("Format"), widget=UnfoldAdminSelectWidget)
    file = forms.FileField(label=gettext_lazy("File"), widget=forms.FileInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["format"].choices = [(name, one.label) for name, one in FORMATS.items()]  # type: ignore[attr-defined]
        style(self)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(
                _("The file is larger than %(most)d MB.") % {"most": MOST_BYTES // 1_000_000}
            )
        return file


class AcceptForm(DialogForm):
    """Confirms that somebody has looked at what is held back."""

    may_take_held = forms.BooleanField(
        label=gettext_lazy("Also those that are held back: I have looked at them"),
        required=False,
        widget=UnfoldBooleanWidget,
    )


class DecideFoundForm(forms.Form):
    """What happens to all entries that a list finds."""

    verdict = forms.ChoiceField(
        label=gettext_lazy("Decision"),
        choices=[
            ("accept", pgettext_lazy("entries of an import", "Accept")),
            ("reject", pgettext_lazy("entries of an import", "Reject")),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    may_take_held = forms.BooleanField(
        label=gettext_lazy("Also those that are held back: I have looked at them"),
        required=False,
        widget=UnfoldBooleanWidget,
    )
    expected = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self, "verdict")

    def expect(self, what: str) -> None:
        """Note what the page shows now, so that sending it again decides that."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        data["expected"] = what
        self.data = data


class EditEntryForm(DialogForm):
    """Corrects what an entry says: prices per million, and facts."""

    def __init__(self, *args: Any, object_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)
        entry = ImportEntry.objects.filter(pk=object_id).first() if object_id else None
        stated = (entry.after if entry else None) or {"prices": {}, "facts": {}}
        for kind in PRICES:
            self.fields[f"price_{kind}"] = forms.DecimalField(
                label=_("%(kind)s, USD per million") % {"kind": words_of(kind)},
                required=False,
                min_value=Decimal(0),
                max_digits=18,
                decimal_places=8,
                initial=stated["prices"].get(kind),
                widget=UnfoldAdminTextInputWidget,
            )
        for name in CORRECTED:
            field = FACTS[name].field()
            field.label, field.required = FACTS[name].label, False
            field.initial = stated["facts"].get(name)
            field.widget = UnfoldAdminTextInputWidget()
            self.fields[name] = field

    def answers(self) -> dict[str, Any]:
        said = super().answers()
        prices = {kind: said.pop(f"price_{kind}") for kind in PRICES}
        return {"prices": prices, "facts": said}
