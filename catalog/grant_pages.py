"""What pages say about grants: rows of lists, badges, and the facts of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from audit.models import AuditEntry
from billing.costs import cost_rows, today_of
from catalog.models import Grant
from core.dates import day, day_and_year
from core.page_parts import Badge, Fact
from core.stored_words import retold
from tenants.limits import limits_beside
from tenants.models import ApiKey

ENDS_SOON: Final = timedelta(days=30)
SPEND_DAYS: Final = 30
MOST_KEYS: Final = 20
MOST_ENTRIES: Final = 50
_COLORS: Final = {Grant.State.IN_FORCE: "ok", Grant.State.SUSPENDED: "warn", Grant.State.LATER: "info"}


@dataclass(frozen=True)
class GrantRow:
    """A row in the list of grants."""

    pk: UUID
    model: str
    project: str
    owner: str
    badge: Badge
    note: str
    valid_from: datetime
    ends_at: datetime


def row_of(grant: Grant) -> GrantRow:
    """A grant with its model, project and owner."""
    return GrantRow(
        pk=grant.pk,
        model=grant.model.title,
        project=grant.project.name,
        owner=str(grant.owner) if grant.owner else "",
        badge=badge_of(grant),
        note=why(grant),
        valid_from=grant.valid_from,
        ends_at=min(filter(None, (grant.revoked_at, grant.valid_until))),
    )


def badge_of(grant: Grant) -> Badge:
    """The badge of a grant, in the words that all pages use."""
    state = Grant.State(grant.state)
    if state == Grant.State.IN_FORCE and grant.valid_until <= now() + ENDS_SOON:
        return Badge("warn", _("Ends on %(date)s") % {"date": day(grant.valid_until)}, "clock")
    return Badge(_COLORS.get(state, ""), state.label)


def why(grant: Grant) -> str:
    """Why calls are refused, if somebody or something stopped them before the end; else empty."""
    if grant.state == Grant.State.REVOKED:
        return retold(grant.revoked_reason)
    if grant.state == Grant.State.SUSPENDED:
        return _("Its owner may no longer answer for it. Calls are refused until somebody takes it over.")
    return ""


def facts_of(grant: Grant, reader: User) -> list[Fact]:
    """The facts of one grant. Needs its item with the request."""
    asked = grant.item.access_request
    slug = grant.tenant.slug
    facts = [
        Fact(_("Model"), grant.model.title, reverse("model-detail", args=[slug, grant.model.name])),
        Fact(_("Project"), grant.project.name),
        Fact(_("Owner"), str(grant.owner) if grant.owner else _("nobody yet")),
        Fact(_("Data class"), grant.item.get_data_class_display()),
        Fact(_("From"), day_and_year(grant.valid_from)),
        Fact(_("Until"), day_and_year(grant.valid_until)),
        Fact(_("Request"), asked.reference, reverse("request-detail", args=[slug, asked.pk])),
    ]
    if grant.revoked_at is not None:
        who = str(grant.revoked_by) if grant.revoked_by else _("Quartermaster")
        facts.append(
            Fact(
                _("Revoked"), _("%(date)s by %(who)s") % {"date": day_and_year(grant.revoked_at), "who": who}
            )
        )
    return facts


def limits_of(grant: Grant, reader: User) -> list[Fact]:
    """Every limit that is checked for calls of the project to the model, as far as the reader may see it."""
    limits = limits_beside(grant.project, reader, models=("", grant.model.name))
    return [
        Fact(
            _("%(kind)s, %(place)s")
            % {"kind": limit.get_kind_display(), "place": limit.project or limit.tenant},
            f"{limit.value:,f}".rstrip("0").rstrip(".") if "." in f"{limit.value:f}" else f"{limit.value:,f}",
        )
        for limit in limits.order_by("project", "model", "kind")
    ]


def keys_of(grant: Grant, reader: User) -> list[ApiKey]:
    """The first keys of the project that name the model and have not ended."""
    keys = ApiKey.objects.visible_to(reader).in_tenant(grant.tenant).current().filter(project=grant.project)
    named = keys.filter(model_names__contains=[grant.model.name]).select_related("owner")
    return list(named.order_by("-pk")[:MOST_KEYS])


@dataclass(frozen=True)
class Spend:
    """What the project spent on the model lately; `cost` is None if no call has a price."""

    cost: Decimal | None
    calls: int
    tokens: int


def spend_of(grant: Grant) -> Spend:
    """The calls of the last 30 days, today included, from the sums of days. One query."""
    today = today_of(grant.tenant)
    rows = cost_rows(
        grant.tenant, today - timedelta(days=SPEND_DAYS - 1), today, ["model"], project=grant.project
    )
    for row in rows:
        if row["model"] == grant.model.name:
            return Spend(row["cost"], row["calls"], row["tokens"])
    return Spend(Decimal(0), 0, 0)


_ACTIONS: Final = {
    "grant.given": gettext_noop("gave the project access"),
    "grant.suspended": gettext_noop("suspended the access"),
    "grant.resumed": gettext_noop("resumed the access"),
    "grant.handed_over": gettext_noop("made %(owner)s the owner"),
    "grant.revoked": gettext_noop("revoked the access"),
    "grant.renewed": gettext_noop("renewed the access"),
    "grant.confirmed": gettext_noop("confirmed that the access is still needed"),
    "grant.dropped": gettext_noop("said that the access is no longer needed"),
    "grant.lapsed": gettext_noop("ended the access, because nobody confirmed it"),
}


def timeline_of(grant: Grant) -> list[dict[str, Any]]:
    """What happened to the grant, newest first, from the audit log."""
    entries = (
        AuditEntry.objects.in_tenant(grant.tenant)
        .filter(subject_type="catalog.grant", subject_id=str(grant.pk))
        .select_related("actor")
        .order_by("-at", "-id")[:MOST_ENTRIES]
    )
    timeline = []
    for entry in entries:
        owner = (entry.changes or {}).get("owner", [None, ""])[1]
        text = _(_ACTIONS.get(entry.verb, entry.verb)) % {"owner": owner}
        actor = str(entry.actor) if entry.actor else _("Quartermaster")
        timeline.append({"actor": actor, "text": text, "at": entry.at})
    return timeline
