"""The form of the dialog about a score of a model."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.dialogs import DialogForm


class ScoreForm(DialogForm):
    """One score; without a number it is removed."""

    benchmark = forms.CharField(
        label=gettext_lazy("Benchmark"), max_length=80, widget=UnfoldAdminTextInputWidget
    )
    metric = forms.CharField(
        label=gettext_lazy("Metric"),
        max_length=40,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as accuracy; empty if the benchmark has only one."),
    )
    value = forms.DecimalField(
        label=gettext_lazy("Score"),
        required=False,
        max_digits=12,
        decimal_places=4,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
        help_text=gettext_lazy("Empty: the score is removed."),
    )
    source_url = forms.CharField(
        label=gettext_lazy("Source"),
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("The address of the page that states it."),
    )
    stated_on = forms.DateField(
        label=gettext_lazy("Date"),
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("When it was measured or published, such as 2026-11-30. Empty: today."),
    )
