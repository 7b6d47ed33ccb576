"""Blocks of tenants on home pages: emergency access, which somebody else reviews."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.counting import count_of, number_of
from core.home import Content, Need, Reader, Site, home_block
from tenants.models import EmergencyAccess

MOST_ROWS: Final = 4


@dataclass(frozen=True)
class EmergencyLine:
    """An emergency access, with the link to its page."""

    tenant: str
    opened_by: str
    reason: str
    opened_at: datetime
    is_open: bool
    is_reviewed: bool
    url: str


@home_block(
    Site.STAFF,
    order=50,
    permissions=["tenants.view_emergencyaccess"],
    template="tenants/home/_emergency.html",
    is_aside=True,
)
def emergency_accesses(reader: Reader) -> Content:
    """The newest accesses; and those that wait for a review by the reader, which never are their own."""
    visible: Any = EmergencyAccess.objects.visible_to(reader.user)
    newest = visible.with_status().order_by("-pk")
    rows = [
        EmergencyLine(
            tenant=access.tenant.name,
            opened_by=str(access.opened_by),
            reason=access.reason,
            opened_at=access.opened_at,
            is_open=access.is_open,
            is_reviewed=access.reviewed_at is not None,
            url=_page_of(access.pk),
        )
        for access in newest[:MOST_ROWS]
    ]
    return Content(rows, _to_review(reader, visible))


def _to_review(reader: Reader, visible: Any) -> list[Need]:
    if not reader.may("tenants.review_emergency_access"):
        return []
    # Open ones are reviewed once they are over.
    over = visible.with_status().filter(is_open=False, reviewed_at=None)
    waiting = over.exclude(opened_by=reader.user).order_by("pk")
    if (oldest := waiting.values_list("pk", flat=True).first()) is None:
        return []
    count = count_of(waiting)
    text = ngettext(
        "%(n)s emergency access needs a review", "%(n)s emergency accesses need a review", number_of(count)
    )
    return [
        Need(
            text=text % {"n": count},
            url=_page_of(oldest),
            action=_("Review the oldest"),
            icon_name="alert-triangle",
        )
    ]


def _page_of(pk: Any) -> str:
    return reverse("admin:tenants_emergencyaccess_change", args=[pk])
