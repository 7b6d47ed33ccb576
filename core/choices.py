"""Choose one row of a table that may be long: from a select box if it is short, else by name with suggestions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core.addresses import address_or_none
from core.ids import is_uuid

HINT = _("Enter the beginning of a name and choose a suggestion.")
# The most rows that a select box or a list of suggestions offers.
MOST = 25


class SuggestingInput(forms.TextInput):
    """A text field with a list of suggestions below it; htmx updates the list as the person types.

    The list starts with `options`; `source` returns those that begin with the text typed so far.
    """

    def __init__(self, attrs: Any = None, *, source: str = "", options: Any = ()) -> None:
        super().__init__(attrs)
        self.source, self.options = source, list(options)

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        list_id = f"{(attrs or {}).get('id') or f'id_{name}'}_list"
        own = {"list": list_id, "autocomplete": "off", "spellcheck": "false"}
        if self.source:
            own |= {
                "hx-get": f"{self.source}{'&' if '?' in self.source else '?'}{urlencode({'of': name})}",
                "hx-trigger": "input changed delay:200ms",
                "hx-target": f"#{list_id}",
                "hx-swap": "innerHTML",
            }
        context: dict[str, Any] = super().get_context(name, value, own | (attrs or {}))
        return context | {"list_id": list_id}

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        field = super().render(name, value, attrs, renderer)
        list_id = self.get_context(name, value, attrs)["list_id"]
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, as_options(self.options))


def as_options(rows: Any) -> SafeString:
    """`<option>` elements for a list of suggestions, from pairs of the text to type and its label."""
    return format_html_join("", '<option value="{}">{}</option>', rows)


def pick_field(form: forms.BaseForm, name: str) -> PickField:
    """The form's field of that name. Raises TypeError if it is not a `PickField`."""
    field = form.fields[name]
    if not isinstance(field, PickField):
        raise TypeError(f"{name} is a {type(field).__name__}")
    return field


def offer(form: forms.BaseForm, name: str, rows: QuerySet[Any], *, source: str = "") -> None:
    """Offer `rows` in a form's `PickField`.

    Args:
        form: the form.
        name: name of its field.
        rows: rows that the field accepts.
        source: URL of suggestions; empty: none.
    """
    pick_field(form, name).offer(rows, source=source)


class PickField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One of the rows passed to `offer`: chosen from a select box, or typed by name if there are many.

    Both ways accept a row's key and its `by`, a column that tells the offered rows apart.
    """

    default_error_messages = {
        "invalid_choice": _("There is no such name here. Enter the beginning and choose a suggestion."),
        "ambiguous": _("Several have this name. Choose one from its own page."),
    }

    def __init__(self, model: type[Model], *, by: str, **kwargs: Any) -> None:
        self.by = by
        # The initial choice of a required select box.
        self.preferred: Any = None
        self.offered: list[tuple[Any, Any]] = []
        self.rows: QuerySet[Any] = model._base_manager.none()  # what may be chosen
        super().__init__(self.rows, **kwargs)

    def offer(self, rows: QuerySet[Any], *, source: str = "", valid: QuerySet[Any] | None = None) -> None:
        """Offer `rows` in their order: as a select box if they are few, else by suggestions from `source`.

        Reads no more rows than a select box holds. `valid` are the rows that may be chosen, if more than are offered.
        """
        self.queryset = self.rows = rows if valid is None else valid
        few = list(rows[: MOST + 1])
        if len(few) <= MOST:
            if self.empty_label is None and few:
                self.preferred = few[0]
            self.offered = [(self.prepare_value(row), self.label_from_instance(row)) for row in few]
            self._fill_box()
            return
        placeholder = {"placeholder": self.empty_label} if self.empty_label and not self.required else {}
        self.offered = [(self._name_of(row), self.label_from_instance(row)) for row in few[:MOST]]
        self.widget = SuggestingInput(self.widget.attrs | placeholder, source=source, options=self.offered)
        self.widget.is_required = self.required
        self.help_text = format_lazy("{} {}", self.help_text, HINT) if self.help_text else HINT

    def show(self, row: Model) -> None:
        """Add to a select box a row that is already chosen but not offered."""
        pair = (self.prepare_value(row), self.label_from_instance(row))
        if not self.is_typed and pair not in self.offered:
            self.offered.append(pair)
            self._fill_box()

    def _fill_box(self) -> None:
        nothing = [] if self.empty_label is None else [("", self.empty_label)]
        self.choices = [*nothing, *self.offered]

    @property
    def has_any(self) -> bool:
        """Whether any row is offered."""
        return bool(self.offered)

    @property
    def is_typed(self) -> bool:
        """Whether there are too many rows for a select box."""
        return isinstance(self.widget, SuggestingInput)

    def prepare_value(self, value: Any) -> Any:
        if not self.is_typed or value is None:
            return super().prepare_value(value)
        return self._name_of(value) if isinstance(value, Model) else self._typed_for(value)

    def _name_of(self, row: Model) -> str:
        """The text that people type for a row; its key if it has no name."""
        return str(getattr(row, self.by, "") or row.pk)

    def _typed_for(self, value: Any) -> Any:
        """Turn a row's key, from a link or an earlier form, into the text that people type."""
        row = self.rows.filter(pk=UUID(str(value))).first() if is_uuid(str(value)) else None
        return value if row is None else self._name_of(row)

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        text = str(value.pk if isinstance(value, Model) else value).strip()
        found = self._found(text) if text and "\0" not in text else []
        if len(found) != 1:
            code = "ambiguous" if found else "invalid_choice"
            raise ValidationError(self.error_messages[code], code=code, params={"value": value})
        return found[0]

    def _found(self, text: str) -> list[Any]:
        said = (address_or_none(text) or text.lower()) if self.by == "email" else text
        either = Q(**{self.by: said})
        if is_uuid(text):
            either |= Q(pk=UUID(text))
        return list(self.rows.filter(either)[:2])
