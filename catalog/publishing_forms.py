"""The form in which an operator publishes a model, with its checks above."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.dialogs import DialogForm
from catalog.models import CatalogModel
from catalog.publishing_checks import Checked, checked
from core.templatetags.qm import icon

LONGEST_REASON: Final = 300


def despite_field(widget: Any = UnfoldAdminTextInputWidget) -> forms.CharField:
    """Asks why something is published although checks fail."""
    return forms.CharField(
        label=gettext_lazy("Publish although checks fail, because"),
        required=False,
        max_length=LONGEST_REASON,
        help_text=gettext_lazy("Empty: only what passes every check. The audit log keeps the reason."),
        widget=widget,
    )


class PublishForm(DialogForm):
    """The checks of the model as they stand, and a reason to publish it all the same."""

    despite = despite_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = CatalogModel.objects.filter(pk=self.object_id).first()
        self.checks = checked(model) if model else []
        if all(one.passes for one in self.checks):
            del self.fields["despite"]

    def render_before_template(self) -> SafeString:
        return format_html("{}{}", checks_html(self.checks), super().render_before_template())


def checks_html(checks: Iterable[Checked]) -> SafeString:
    """A line for each check; one that fails links to the page that mends it."""
    return format_html_join(
        "",
        '<div class="row-x">{} <span><span class="t2">{}</span> <span class="wrap-any">{}</span> {}</span></div>',
        ((_mark(one), one.label, one.words, "" if one.passes else _fix(one)) for one in checks),
    )


def _mark(check: Checked) -> SafeString:
    words = _("Passes") if check.passes else _("Missing")
    name = "check" if check.passes else "alert-triangle"
    return format_html('{}<span class="visually-hidden">{}</span>', icon(name), words)


def _fix(check: Checked) -> SafeString:
    return format_html(
        '<a class="text-link underline" href="{}">{}<span class="visually-hidden"> {}</span></a>',
        check.path,
        _("Mend this"),
        check.label,
    )
