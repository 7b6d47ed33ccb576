"""Blocks of the audit log on the staff's home page: what staff did last, and how far the log is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Q
from django.urls import reverse

from audit.action_words import action_in_words
from audit.models import AuditAnchor, AuditCheckpoint, AuditEntry, AuditPending
from core.counting import count_of
from core.home import Content, Reader, Site, home_block

MOST_ROWS: Final = 6
# Of these newest entries: there is no index of who acted as staff, and old acts are no news.
LOOKED_AT: Final = 2_000
# Of oneself, or of reading.
_ORDINARY: Final = ("person.sign", "person.locked_out", "personal_access_token.", "second_factor.")
_READS: Final = ("tenant.read_by_staff",)


@dataclass(frozen=True)
class AuditLine:
    """An entry, with the link to its page."""

    verb: str
    # The verb in words.
    action: str
    subject: str
    actor: str
    capacity: str
    at: datetime
    url: str


@dataclass(frozen=True)
class ActsOfStaff:
    """What staff did last, and among how many of the newest entries."""

    rows: list[AuditLine]
    among: int


@home_block(
    Site.STAFF, order=60, permissions=["audit.view_auditentry"], template="audit/home/_privileged.html"
)
def privileged_acts(reader: Reader) -> Content:
    """What staff did last in a tenant or on the platform, among the newest LOOKED_AT entries."""
    newest = AuditEntry.objects.visible_to(reader.user).order_by("-pk").values("pk")[:LOOKED_AT]
    acts = AuditEntry.objects.visible_to(reader.user).filter(pk__in=newest).filter(is_privileged())
    rows = [
        AuditLine(
            verb=entry.verb,
            action=action_in_words(entry.verb),
            subject=entry.subject_in_words,
            actor=entry.actor_label,
            capacity=entry.get_acting_as_display(),
            at=entry.at,
            url=reverse("admin:audit_auditentry_change", args=[entry.pk]),
        )
        for entry in acts.order_by("-pk")[:MOST_ROWS]
    ]
    return Content(ActsOfStaff(rows, among=LOOKED_AT))


def is_privileged() -> Q:
    """Acts of staff for a tenant, of emergency access, and of people on the platform itself."""
    acting_as = [AuditEntry.ActingAs.STAFF, AuditEntry.ActingAs.EMERGENCY_ACCESS]
    on_the_platform = Q(tenant=None, actor__isnull=False)
    for beginning in _ORDINARY:
        on_the_platform &= ~Q(verb__startswith=beginning)
    return (Q(acting_as__in=acting_as) | on_the_platform) & ~Q(verb__in=_READS)


@dataclass(frozen=True)
class Chain:
    """How far the audit log is sealed by checkpoints, and held by a store outside the database."""

    # Of the last checkpoint; None: there is none.
    number: int | None
    at: datetime | None
    unsealed: int | str
    # The last checkpoint that a store outside holds; None: none has one.
    held_outside: int | None
    held_at: datetime | None


@home_block(
    Site.STAFF,
    order=55,
    permissions=["audit.view_auditentry"],
    template="audit/home/_chain.html",
    is_aside=True,
)
def chain(reader: Reader) -> Content:
    """The end of the chain of checkpoints. Nothing is verified here: `verify_audit` reads all of it."""
    last = AuditCheckpoint.objects.order_by("-number").values_list("number", "created_at").first()
    held = AuditAnchor.objects.exclude(exported_at=None).order_by("-up_to_checkpoint").first()
    number, at = last or (None, None)
    return Content(
        Chain(
            number=number,
            at=at,
            unsealed=count_of(AuditPending.objects.all()),
            held_outside=held.up_to_checkpoint if held else None,
            held_at=held.exported_at if held else None,
        )
    )
