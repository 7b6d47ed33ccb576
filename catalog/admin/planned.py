"""Staff pages: changes of models that are planned, in effect, or undone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors, link
from accounts.admin.dialogs import Dialog
from catalog.actions import undo_change
from catalog.model_facts import FACTS
from catalog.model_impact import ModelImpact, impact_of
from catalog.models import CatalogModel, PlannedChange
from catalog.planned_forms import impact_html
from catalog.planned_words import fact_words, what_changes
from core.dates import DASH
from core.joined import named
from core.templatetags.qm import full

# Models that a page names.
NAMED = 100


@admin.register(PlannedChange)
class PlannedChangeAdmin(ReadOnlyAdmin):
    list_display = ["kind", "state_label", "takes_effect_at", "model_count", "planned_by", "reason"]
    list_filter = ["state", "kind"]
    list_select_related = ["planned_by"]
    ordering = ["-takes_effect_at"]
    fields = readonly_fields = [
        "kind", "state_label", "takes_effect_at", "reason", "of_which", "sets", "touched", "touches", "planned_by",
        "planned_at", "ended_at", "undone_by", "problem",
    ]  # fmt: skip
    page_badge = "state_label"
    actions_detail = ["undo"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlannedChange]:
        rows: QuerySet[PlannedChange] = super().get_queryset(request)
        return rows.annotate(total=Count("of_models"))

    @display(
        description=_("State"),
        label=Colors(planned="info", in_effect="success", failed="danger"),
    )
    def state_label(self, change: PlannedChange) -> tuple[str, str]:
        return change.state, change.get_state_display()

    @display(description=_("Models"))
    def model_count(self, change: Any) -> str:
        return full(change.total)

    @display(description=_("Models"))
    def of_which(self, change: Any) -> SafeString | str:
        """Each model with the facts that change, before and after; the first NAMED."""
        rows = change.of_models.select_related("model").order_by("model__name")[:NAMED]
        lines: list[tuple[str, str]] = [
            (
                link("catalog_catalogmodel_change", row.model_id, text=row.model.name),
                format_html_join("", "<div>{}</div>", ((one,) for one in _steps(change, row.before))),
            )
            for row in rows
        ]
        if (others := change.total - len(lines)) > 0:
            more = ngettext("and %(count)s more", "and %(count)s more", others) % {"count": full(others)}
            lines.append((more, ""))
        return format_html_join("", '<div class="mb-1">{} {}</div>', lines) or DASH

    @display(description=_("Sets"))
    def sets(self, change: PlannedChange) -> SafeString | str:
        lines = what_changes(change, CatalogModel.objects.all(), is_internal=True)
        return format_html_join("", "<div>{}</div>", ((line,) for line in lines)) or DASH

    @display(description=_("Touched when planned"))
    def touched(self, change: PlannedChange) -> SafeString | str:
        return impact_html(ModelImpact.read(change.impact)) if change.impact else DASH

    @display(description=_("Touches now"))
    def touches(self, change: PlannedChange) -> SafeString | str:
        if change.state != PlannedChange.State.PLANNED:
            return DASH
        return impact_html(impact_of(list(change.of_models.values_list("model", flat=True))))

    undo = Dialog(
        undo_change,
        label=_("Undo"),
        url_path="undo",
        icon="undo",
        title=_("Undo this change?"),
        text=_(
            "The models stay as they are. The owners who were told of the change are told that it is undone."
        ),
        button=_("Undo the change"),
        done=_("Undone: %(it)s"),
    )


def _steps(change: PlannedChange, before: dict[str, Any]) -> list[str]:
    """What changes of one model, fact by fact."""
    return [
        named(
            FACTS[name].label if name in FACTS else name,
            gettext("%(before)s → %(after)s")
            % {"before": fact_words(name, then), "after": fact_words(name, change.values.get(name))},
        )
        for name, then in before.items()
    ]


def planned_html(changes: QuerySet[PlannedChange]) -> SafeString | str:
    """Links to changes, for the page of a model."""
    rows = [
        (link("catalog_plannedchange_change", change.pk, text=change), change.get_state_display())
        for change in changes
    ]
    return format_html_join("", '<div>{} <span class="t2">{}</span></div>', rows) or format_html("{}", DASH)
