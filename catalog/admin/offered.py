"""Staff pages: models and offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action as unfold_action
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors, more, offers
from accounts.admin.dialogs import Dialog
from accounts.admin.filters import WordsFilter
from accounts.models import User
from accounts.permissions import signed_in
from catalog.actions import (
    curate_model,
    deprecate_model,
    publish_model,
    retire_model,
    settle_facts,
)
from catalog.actions.planned_changes import TOUCHES_TENANTS
from catalog.actions.scores import set_score
from catalog.admin.documentation import DocumentationPage
from catalog.admin.edit_many import EditManyPage
from catalog.admin.planned import planned_html
from catalog.capabilities import words
from catalog.model_forms import CurateForm, SettleForm, source_words
from catalog.models import CatalogModel, EvaluationScore, ModelVersion, Offer
from catalog.modes import mode_label
from catalog.planned_forms import EndForm
from catalog.provenance import fact_rows
from catalog.publishing_checks import checked
from catalog.publishing_forms import PublishForm, checks_html
from catalog.score_forms import ScoreForm
from core.dates import DASH
from core.errors import Conflict
from core.form_errors import show_errors

# Planned changes that a model's page lists.
LAST_CHANGES = 10


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


class ScoreInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = EvaluationScore
    fields = readonly_fields = ["benchmark", "metric", "value", "source_url", "stated_on", "by"]
    extra = 0
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever sees the model sees its scores, as tenants do."""
        return True


class VersionInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = ModelVersion
    fields = readonly_fields = ["org", "version", "base", "digest", "precision", "image", "retired_at"]
    show_change_link = True
    extra = 0
    tab = True


class ModeFilter(WordsFilter):
    words = staticmethod(mode_label)


class DifferingFilter(admin.SimpleListFilter):
    """Models of which the last import says something else than an operator."""

    title = _("import")
    parameter_name = "differs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Says something else"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(differing=[]) if self.value() == "yes" else queryset


@admin.register(CatalogModel)
class CatalogModelAdmin(DocumentationPage, EditManyPage, ReadOnlyAdmin):
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
    list_filter = ["lifecycle", "risk_tier", "hosting", ("mode", ModeFilter), DifferingFilter]
    search_fields = ["name", "title", "maker"]
    ordering = ["name"]
    fields = [
        "name", "title", "maker", "description", "kind", "context_tokens", "max_output_tokens", "can",
        "providers", "regions", "hosting", "lifecycle", "deprecation_date", "risk_tier", "highest_data_class", "source",
        "checks", "planned", "updated_at", "sources",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [OfferInline, VersionInline, ScoreInline]
    actions_list = ["edit_many"]
    actions_detail = ["curate", "publish", more("documentation", "score", "settle", "deprecate", "retire")]

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

    @display(description=_("Facts and where they come from"))
    def sources(self, model: CatalogModel) -> str:
        """Each fact with its value, source and time; and by whom, for what operators entered."""
        rows = [row for row in fact_rows(model) if row.source or row.stated is not None]
        people = User.objects.in_bulk({row.by for row in rows if row.by})
        return lines(
            (
                row.label,
                " · ".join(filter(None, [row.words[:200], source_words(row), str(people.get(row.by) or "")])),
            )
            for row in rows
        )

    @display(description=_("Publishing checks"))
    def checks(self, model: CatalogModel) -> str:
        """Each check: passed, or what is missing with a link to the page that mends it."""
        return checks_html(checked(model))

    @display(description=_("Planned changes"))
    def planned(self, model: CatalogModel) -> str:
        """The last changes that were planned for it, with their state."""
        return planned_html(model.planned_changes.order_by("-takes_effect_at", "-pk")[:LAST_CHANGES])

    @offers(curate_model)
    @unfold_action(description=_("Edit"), url_path="curate", icon="edit", permissions=["curate"])
    def curate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Edit the facts of a model. Shows whom a dangerous edit touches, and what somebody else changed meanwhile."""
        person = signed_in(request)
        model = self.get_object(request, object_id)
        if model is None:
            raise Http404
        curate_model.require(person, model)
        form, is_refused = CurateForm(request.POST or None, model=model), False
        if form.is_valid():
            try:
                answers = form.answers()
                changed = curate_model(model.pk, by=person, **answers)
            except ValidationError as error:
                show_errors(form, error)
            except Conflict as conflict:
                is_refused = True
                ask = form.ask if conflict.code == TOUCHES_TENANTS else form.show_newer
                ask(conflict.message)
            else:
                is_later = answers["takes_effect_at"] and answers["values"]
                done = gettext("Planned: %(it)s") if is_later else gettext("Saved: %(it)s")
                messages.success(request, done % {"it": changed})
                return redirect("admin:catalog_catalogmodel_change", model.pk)
        title = gettext("Edit %(it)s") % {"it": model}
        hint = gettext(
            "What you change here stays yours: imports leave it alone. Each line says who stated it last."
        )
        page = self.form_page(request, form, title=title, button=gettext("Save"), hint=hint, row=model)
        page.status_code = 409 if is_refused else page.status_code
        return page

    def has_curate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return curate_model.is_for(request.user)

    score = Dialog(
        set_score,
        label=_("Evaluation score"),
        url_path="score",
        icon="analytics",
        form=ScoreForm,
        title=_("Set an evaluation score"),
        text=_("Readers see it with its source. It replaces the model's score by the same metric."),
        button=_("Save"),
        done=_("Saved: %(benchmark)s"),
    )

    settle = Dialog(
        settle_facts,
        label=_("Compare with the import"),
        url_path="settle",
        icon="compare_arrows",
        form=SettleForm,
        title=_("Which values hold?"),
        text=_(
            "The last import says something else. What you take follows imports again; what you keep stays."
        ),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )

    publish = Dialog(
        publish_model,
        label=_("Publish"),
        url_path="publish",
        form=PublishForm,
        title=_("Publish this model?"),
        text=_("The tenants to which it is offered can find and request it. This grants nothing."),
        button=_("Publish"),
        done=_("%(it)s is published."),
    )

    deprecate = Dialog(
        deprecate_model,
        label=_("Deprecate"),
        url_path="deprecate",
        is_dangerous=True,
        form=EndForm,
        title=_("Deprecate this model?"),
        text=_(
            "Its page advises against it and offers the successor. It can still be found, requested and used."
        ),
        button=_("Deprecate"),
        done=_("Noted: %(it)s"),
    )

    retire = Dialog(
        retire_model,
        label=_("Retire"),
        url_path="retire",
        is_dangerous=True,
        form=EndForm,
        title=_("Retire this model?"),
        text=_("Nobody can find or request it any more. Grants in force continue until they end."),
        button=_("Retire"),
        done=_("Noted: %(it)s"),
    )


def lines(pairs: Iterable[tuple[object, object]]) -> str:
    """A line for each: what it is of, and what is said of it."""
    return (
        format_html_join("", '<div><span class="t2">{}</span> <span class="wrap-any">{}</span></div>', pairs)
        or DASH
    )
