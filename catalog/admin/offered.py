"""Staff pages: models, offers, and the imports that brought them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext, pgettext_lazy
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog
from accounts.admin.filters import WordsFilter
from audit.detail_words import detail_in_words
from catalog.actions import import_price_map, publish_model, retire_model
from catalog.capabilities import words
from catalog.models import CatalogImport, CatalogModel, ModelVersion, Offer
from catalog.modes import mode_label
from core.dates import DASH
from core.templatetags.qm import full


class OfferInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Offer
    fields = readonly_fields = [
        "provider",
        "region",
        "source_key",
        "prices",
        "deprecation_date",
        "is_primary",
    ]
    extra = 0
    tab = True


class VersionInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = ModelVersion
    fields = readonly_fields = ["version", "upstream_name", "digest", "precision", "image", "created_at"]
    extra = 0
    tab = True


class ModeFilter(WordsFilter):
    words = staticmethod(mode_label)


@admin.register(CatalogModel)
class CatalogModelAdmin(ReadOnlyAdmin):
    list_display = [
        "title",
        "name",
        "maker",
        "kind",
        "lifecycle_label",
        "risk_tier",
        "highest_data_class",
        "offer_count",
    ]
    list_filter = ["lifecycle", "risk_tier", "hosting", ("mode", ModeFilter)]
    search_fields = ["name", "title", "maker"]
    ordering = ["name"]
    fields = [
        "name", "title", "maker", "description", "kind", "context_tokens", "max_output_tokens", "can",
        "providers", "regions", "hosting", "lifecycle", "deprecation_date", "risk_tier", "highest_data_class", "source",
        "updated_at",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [OfferInline, VersionInline]
    actions_detail = ["publish", "retire"]

    @display(
        description=_("Lifecycle"),
        label=Colors(published="success", deprecated="warning", retired="danger"),
    )
    def lifecycle_label(self, model: CatalogModel) -> tuple[str, str]:
        return model.lifecycle, model.get_lifecycle_display()

    @display(description=_("capabilities"))
    def can(self, model: CatalogModel) -> str:
        return pgettext("between two of a list", ", ").join(words(model.capabilities)) or DASH

    @display(description=_("Kind"), ordering="mode")
    def kind(self, model: CatalogModel) -> str:
        return model.mode_label

    publish = Dialog(
        publish_model,
        label=_("Publish"),
        url_path="publish",
        title=_("Publish this model?"),
        text=_("Every tenant can find and request it. This grants nothing."),
        button=_("Publish"),
        done=_("%(it)s is published."),
    )

    retire = Dialog(
        retire_model,
        label=_("Retire"),
        url_path="retire",
        is_dangerous=True,
        title=_("Retire this model?"),
        text=_("Nobody can find or request it any more. Grants in force continue until they end."),
        button=_("Retire"),
        done=_("%(it)s is retired."),
    )


def _lines(pairs: Iterable[tuple[object, object]]) -> str:
    """A line for each: what it is of, and what is said of it."""
    return (
        format_html_join("", '<div><span class="t2">{}</span> <span class="wrap-any">{}</span></div>', pairs)
        or DASH
    )


@admin.register(CatalogImport)
class CatalogImportAdmin(ReadOnlyAdmin):
    list_display = ["at", "source", "file_name", "by", "added", "changed", "refused_entries", "jumps"]
    list_select_related = ["by"]
    ordering = ["-at"]
    fields = ["at", "source", "file_name", "digest", "by", "numbers", "jumped_prices", "refusals"]
    readonly_fields = fields

    view_permission = import_price_map.permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return import_price_map.is_for(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @display(description=pgettext_lazy("a number of entries", "Added"))
    def added(self, run: CatalogImport) -> Any:
        return run.counts.get("added")

    @display(description=_("Numbers"))
    def numbers(self, run: CatalogImport) -> str:
        return _lines((detail_in_words(name), full(count)) for name, count in run.counts.items())

    @display(description=_("Jumped prices"))
    def jumped_prices(self, run: CatalogImport) -> str:
        return _lines(run.price_jumps.items())

    @display(description=_("Refused entries"))
    def refusals(self, run: CatalogImport) -> str:
        return _lines(run.refused.items())

    @display(description=_("Changed"))
    def changed(self, run: CatalogImport) -> Any:
        return run.counts.get("changed")

    @display(description=_("Refused"))
    def refused_entries(self, run: CatalogImport) -> int:
        return len(run.refused)

    @display(description=_("Jumped prices"))
    def jumps(self, run: CatalogImport) -> int:
        return len(run.price_jumps)
