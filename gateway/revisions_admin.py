"""Operators' pages of revisions: what each changed, who did it, and undoing it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Min, OuterRef, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import link
from accounts.admin.dialogs import Dialog, ReasonForm
from accounts.models import User
from accounts.permissions import signed_in
from audit.action_words import action_in_words
from audit.models import AuditEntry
from core.joined import listed, named
from core.keyset import KeysetPage, keyset_page
from gateway.models import Gateway
from gateway.undo import LAST_FIRST, entries_of, may_see_who, steps_of, undo_revision, why_too_many
from privacy.views import actor_in_words, in_one_line
from tenants.models import ConfigChange, RevisionEntry

# Actions of one revision on a page of it.
SHOWN = 50


def _said(actor: str) -> str:
    return pgettext("actor", "platform") if actor == "platform" else actor


def with_words(rows: QuerySet[Any], viewer: User) -> QuerySet[Any]:
    """Adds `verbs`, `subjects` and `actors` of the entries behind each revision that the person may see.

    It is one query for all rows.
    """
    with_entries = Coalesce(OuterRef(OuterRef("raised_with")), OuterRef(OuterRef("revision")))
    ids = RevisionEntry.objects.filter(revision=with_entries).values("entry_id")
    entries = AuditEntry.objects.visible_to(viewer).filter(pk__in=ids).order_by("pk")
    annotated: QuerySet[Any] = rows.annotate(
        verbs=ArraySubquery(entries.values("verb")[:SHOWN]),
        subjects=ArraySubquery(entries.values("subject_label")[:SHOWN]),
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
    return listed(named(word, count) for word, count in counts if count) or str(
        _("routes, prices or settings")
    )


def _line(entry: AuditEntry, *, shows_who: bool) -> str:
    """What one action changed; with who did it and a link to the entry, for those who may read the audit log."""
    words = action_in_words(entry.verb)
    facts = [entry.subject_label, actor_in_words(entry) if shows_who else "", in_one_line(entry, facts=False)]
    shown = link("audit_auditentry_change", entry.pk, text=words) if shows_who else words
    return format_html("<p>{}</p>", format_html_join(" · ", "{}", ((one,) for one in [shown, *facts] if one)))


def _links(page: KeysetPage) -> str:
    """The links to the pages before and after."""
    links = page.links()
    found = (
        (links["newer_url"], "prev", _("Later actions")),
        (links["older_url"], "next", _("Earlier actions")),
    )
    return format_html_join(
        " ",
        '<a href="{}" rel="{}" class="text-primary-600 dark:text-primary-500">{}</a>',
        (one for one in found if one[0]),
    )


def _raised_with_it(change: ConfigChange) -> str:
    """The revisions that the same transaction raised before this one, in words; empty for none."""
    earlier = ConfigChange.objects.filter(raised_with=change.revision).aggregate(first=Min("revision"))[
        "first"
    ]
    if earlier is None:
        return ""
    words = _("One transaction raised revisions %(first)d to %(last)d. All that it changed is here.")
    return format_html("<p>{}</p>", words % {"first": earlier, "last": change.revision})


def _state_of(gateway: Gateway, change: ConfigChange) -> str:
    """Whether a gateway follows a revision, in words; if it refused that one, why."""
    refused = gateway.report.get("refused") or {}
    if gateway.acknowledged_revision >= change.revision:
        return str(_("yes"))
    if refused.get("revision") == change.revision:
        return str(_("no, it refused it: %(reason)s") % {"reason": refused.get("reason", "")})
    return str(_("not yet, it follows %(revision)d") % {"revision": gateway.acknowledged_revision})


@admin.register(ConfigChange)
class ConfigChangeAdmin(ReadOnlyAdmin):
    list_display = ["revision", "raised_at", "who", "what"]
    ordering = ["-revision"]
    actions_detail = ["undo"]
    fields = readonly_fields = ["revision", "raised_at", "affects", "acknowledged", "changed", "would_undo"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        return with_words(rows.with_counts(), signed_in(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without who did it, for those who may not read the audit log."""
        shown = super().get_list_display(request)
        return shown if may_see_who(signed_in(request)) else [name for name in shown if name != "who"]

    @display(description=_("Who"))
    def who(self, change: Any) -> str:
        return ", ".join(dict.fromkeys(map(_said, change.actors))) or "—"

    @display(description=_("What"))
    def what(self, change: Any) -> str:
        if change.raised_with is not None:
            return str(_("part of revision %(last)d") % {"last": change.raised_with})
        words = list(dict.fromkeys(map(action_in_words, change.verbs)))
        subjects = list(dict.fromkeys(filter(None, change.subjects)))
        if len(words) == len(subjects) == 1:
            return f"{words[0]} · {subjects[0]}"
        return " · ".join(words) or affects(change)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """No button where no action behind the revision has an inverse; the page says why."""
        buttons = super().get_actions_detail(request, object_id)
        change = self.get_object(request, object_id)
        if change is None:
            return []
        viewer = signed_in(request)
        first = list(entries_of(change, viewer)[: SHOWN + 1])
        if len(first) <= SHOWN:
            is_possible = any(step.undo for step in steps_of(first))
        else:
            # Whether one of them has an inverse, only the action itself looks.
            is_possible = not why_too_many(change, viewer)
        return buttons if is_possible else []

    @display(description=_("Gateways that follow it"))
    def acknowledged(self, change: ConfigChange) -> str:
        """Those alive, each with a link to its page. A gateway that acknowledged a later revision follows this one."""
        alive = list(Gateway.objects.alive().order_by("name"))
        if not alive:
            return str(_("no gateway is alive"))
        lines = (
            (link("gateway_gateway_change", gateway.pk, text=gateway.name), _state_of(gateway, change))
            for gateway in alive
        )
        return format_html_join("", "<p>{} · {}</p>", lines)

    @display(description=_("Gateways read again"))
    def affects(self, change: Any) -> str:
        return affects(change)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The revision with the page of its entries that the URL names with `before` or `after`."""
        change: Any = super().get_object(request, object_id, from_field)
        if change is not None:
            viewer = signed_in(request)
            change.shows_who = may_see_who(viewer)
            change.too_many = lambda: why_too_many(change, viewer)
            change.page = lambda: keyset_page(
                entries_of(change, viewer),
                LAST_FIRST,
                size=SHOWN,
                # One of them, if somebody names both.
                before="" if (after := request.GET.get("after", "")) else request.GET.get("before", ""),
                after=after,
            )
        return change

    @display(description=_("Changed"))
    def changed(self, change: Any) -> str:
        if change.raised_with is not None:
            words = _("Gateways follow it only together with the revision that shows what changed:")
            return format_html(
                "{} {}",
                words,
                link("tenants_configchange_change", change.raised_with, text=change.raised_with),
            )
        return format_html("{}{}", _raised_with_it(change), self._actions(change))

    def _actions(self, change: Any) -> str:
        """The page of the actions behind a revision, line by line."""
        page: KeysetPage = change.page()
        lines = [_line(entry, shows_who=change.shows_who) for entry in page.rows]
        if not lines and RevisionEntry.objects.filter(revision=change.revision).exists():
            return str(_("Your role does not allow you to see the actions behind it."))
        if not lines:
            return str(_("No action: the clock, an engine or the platform itself."))
        if not change.shows_who:
            lines.append(
                format_html(
                    "<p>{}</p>",
                    _("Your role does not allow you to read in the audit log who did it and why."),
                )
            )
        return format_html("{}{}", format_html_join("", "{}", ((line,) for line in lines)), _links(page))

    @display(description=_("Undoing it would"))
    def would_undo(self, change: Any) -> str:
        if too_many := change.too_many():
            return str(too_many)
        page: KeysetPage = change.page()
        lines = (
            (
                step.words
                if step.undo
                else format_html("{} · {}", action_in_words(step.entry.verb), step.words),
            )
            for step in steps_of(page.rows)
        )
        return (
            format_html("{}{}", format_html_join("", "<p>{}</p>", lines), _links(page)) if page.rows else "—"
        )

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
