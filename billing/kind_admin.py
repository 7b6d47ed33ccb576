"""The operators' page of kinds of usage: see them, add one, describe one that a gateway named."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog, DialogForm
from billing import kind_actions
from billing.kinds import Unit
from billing.known_kinds import words_of
from billing.models import UsageKind


class DescribeForm(DialogForm):
    label = forms.CharField(label=_("Name for people"), max_length=60, widget=UnfoldAdminTextInputWidget)
    unit = forms.ChoiceField(
        label=_("Unit"),
        choices=[choice for choice in Unit.choices if choice[0] != Unit.UNKNOWN],
        widget=UnfoldAdminSelectWidget,
    )
    scale = forms.IntegerField(
        label=pgettext_lazy("of a number", "Scale"),
        initial=1,
        min_value=1,
        max_value=kind_actions.MOST_UNITS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_(
            "Whole numbers are multiples of 1/scale units: 1000 if a second is counted in milliseconds."
        ),
    )
    price_for = forms.IntegerField(
        label=_("Price for"),
        initial=1_000_000,
        min_value=1,
        max_value=kind_actions.MOST_UNITS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("How many units a price is usually quoted for."),
    )


class AddForm(DescribeForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As gateways and price lists write it, such as video_seconds."),
    )

    field_order = ("name", "label", "unit", "scale", "price_for")


@admin.register(UsageKind)
class UsageKindAdmin(ReadOnlyAdmin):
    list_display = ("name", "words", "unit", "scale", "price_for", "described")
    ordering = ("pk",)
    search_fields = ("name",)
    actions_list = ("add_kind",)
    actions_detail = ("describe",)
    fields = readonly_fields = (
        "name",
        "words",
        "unit",
        "scale",
        "price_for",
        "needs_price",
        "described",
        "created_at",
    )

    @display(description=_("Name for people"))
    def words(self, kind: UsageKind) -> str:
        return words_of(kind.name)

    @display(description=pgettext_lazy("a kind of usage", "Described"), label=Colors({False: "danger"}))
    def described(self, kind: UsageKind) -> tuple[bool, str]:
        return kind.is_known, str(_("yes") if kind.is_known else _("no: not priced"))

    add_kind = Dialog(
        kind_actions.add_usage_kind,
        label=_("Add a kind"),
        url_path="add-kind",
        icon="add",
        form=AddForm,
        title=_("Add a kind of usage"),
        text=_("It stays: its number goes into the ledger, so nobody can rename, change or delete it."),
        button=_("Add"),
        done=_("%(name)s is a kind of usage now."),
    )
    describe = Dialog(
        kind_actions.describe_usage_kind,
        label=_("Describe"),
        url_path="describe",
        form=DescribeForm,
        title=_("Describe this kind of usage"),
        text=_(
            "A gateway named it before the console knew it. Calls that used it stay not priced; later ones cost "
            "what its price says. It can be described once."
        ),
        button=_("Describe"),
        done=_("The kind is described. Publish its price next."),
    )
