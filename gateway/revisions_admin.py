"""Operators' pages of revisions: what each changed, who did it, and undoing it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.dialogs import Dialog, ReasonForm
from audit.models import AuditEntry
from gateway.undo import entries_of, steps_of, undo_revision
from tenants.models import ConfigChange, RevisionEntry

# Lines of one revision on its page; the audit log has all.
SHOWN = 50


def with_words(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Adds `verbs` and `actors` of the entries behind each revision, in one query for all rows."""
    ids = RevisionEntry.objects.filter(revision=OuterRef(OuterRef("revision"))).values("entry_id")
    entries = AuditEntry.objects.across_tenants().filter(pk__in=ids).order_by("pk")
    annotated: QuerySet[Any] = rows.annotate(
        verbs=ArraySubquery(entries.values("verb")[:SHOWN]),
        actors=ArraySubquery(entries.values("actor_label")[:SHOWN]),
    )
    return annotated


def affects(change: Any) -> str:
    """How many rows of each kind gateways were to read again, in words. The revision comes from `with_counts`."""
    if change.is_everything:
        return str(_("everything"))
    counts = (
        (_("tenants"), change.tenants_count),
        (_("projects"), change.projects_count),
        (_("keys"), change.keys_count),
        (_("limits"), change.limits_count),
    )
    return ", ".join(f"{word}: {count}" for word, count in counts if count) or str(
        _("routes, prices or settings")
    )


@admin.register(ConfigChange)
class ConfigChangeAdmin(ReadOnlyAdmin):
    list_display = ["revision", "raised_at", "who", "what"]
    ordering = ["-revision"]
    actions_detail = ["undo"]
    fields = readonly_fields = ["revision", "raised_at", "affects", "changed", "would_undo"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        return with_words(rows.with_counts())

    @display(description=_("Who"))
    def who(self, change: Any) -> str:
        return ", ".join(dict.fromkeys(change.actors)) or "–"

    @display(description=_("What"))
    def what(self, change: Any) -> str:
        return ", ".join(dict.fromkeys(change.verbs)) or affects(change)

    @display(description=_("Gateways read again"))
    def affects(self, change: Any) -> str:
        return affects(change)

    @display(description=_("Changed"))
    def changed(self, change: ConfigChange) -> str:
        lines = (
            (
                reverse("admin:audit_auditentry_change", args=[entry.pk]),
                entry.verb,
                entry.subject_label,
                entry.actor_label,
                "; ".join(f"{name}: {before} → {after}" for name, (before, after) in entry.changes.items()),
            )
            for entry in entries_of(change, None)[:SHOWN]
        )
        return format_html_join("", '<p><a href="{}">{}</a> {} · {} · {}</p>', lines) or str(
            _("No action: the clock, an engine or the platform itself.")
        )

    @display(description=_("Undoing it would"))
    def would_undo(self, change: ConfigChange) -> str:
        lines = (
            (step.words if step.undo else format_html("{}: {}", step.entry.verb, step.words),)
            for step in steps_of(change, None)[:SHOWN]
        )
        return format_html_join("", "<p>{}</p>", lines) or "–"

    undo = Dialog(
        undo_revision,
        label=_("Undo"),
        url_path="undo",
        icon="undo",
        form=ReasonForm,
        is_dangerous=True,
        title=_("Undo this revision?"),
        text=_(
            "The page says what would be done, as new actions in your name, and what has no inverse. If somebody has "
            "changed the same thing since, nothing is done."
        ),
        button=_("Undo"),
        done=_("Undone. Gateways follow within seconds."),
        ends_on="list",
    )
