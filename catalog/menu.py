"""The catalog's entries in the side menus (core/menu.py)."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.counting import count_of
from core.menu import CATALOG, REQUESTS, WORK, Count, PortalEntry, StaffEntry


def _waiting(request: HttpRequest) -> int | str:
    from catalog.admin.reviews import queue_of
    from catalog.models import Review

    return count_of(queue_of(request, Review.objects.visible_to(request.user)))


PORTAL = [
    PortalEntry("tenant-home", _("Home"), "home", WORK, 0, key="h"),
    PortalEntry(
        "model-list", _("Catalog"), "box", WORK, 1, key="c", below=["model-detail", "model-compare", "request-new"]
    ),
    PortalEntry(
        "request-list", _("Requests"), "checklist", WORK, 2, key="r",
        below=["request-detail", "request-change", "request-comments", "request-withdraw"],
    ),
    PortalEntry(
        "grant-list", _("Access"), "shield-check", WORK, 3,
        below=["grant-detail", "grant-renew", "grant-revoke", "grant-take-over", "attestation-list"],
    ),
    PortalEntry(
        "key-list", _("Keys"), "key", WORK, 4, below=["key-claim", "key-revoke"], key="k",
        count=Count(lambda portal: portal.keys_to_claim, _("to claim")),
    ),
]  # fmt: skip

STAFF = [
    StaffEntry(
        "catalog.review", _("Review queue"), "checklist", REQUESTS, 0, key="q",
        count=Count(_waiting, _("wait for you")),
    ),
    StaffEntry("catalog.accessrequest", _("Requests"), "file-text", REQUESTS, 1, key="r", is_searched=True),
    StaffEntry("catalog.grant", _("Grants"), "shield-check", REQUESTS, 2),
    StaffEntry("catalog.attestationcampaign", _("Campaigns"), "checklist", REQUESTS, 5),
    StaffEntry("catalog.ruleset", _("Rules"), "list", REQUESTS, 7),
    StaffEntry("catalog.track", _("Tracks"), "route", REQUESTS, 8),
    StaffEntry("catalog.questionset", _("Questions"), "list", REQUESTS, 13),
    StaffEntry("catalog.reviewscope", _("Review scopes"), "users", REQUESTS, 9),
    StaffEntry("catalog.reviewteam", _("Review teams"), "users", REQUESTS, 10),
    StaffEntry("catalog.reviewdelegation", _("Delegations"), "users", REQUESTS, 11),
    StaffEntry("catalog.workingcalendar", _("Working calendars"), "clock", REQUESTS, 12),
    StaffEntry("catalog.catalogmodel", _("Models"), "box", CATALOG, 0, key="c", is_searched=True),
    StaffEntry("catalog.modelversion", _("Model versions"), "vector-triangle", CATALOG, 1),
    StaffEntry("catalog.catalogimport", _("Imports"), "package-import", CATALOG, 2),
    StaffEntry("catalog.plannedchange", _("Planned changes"), "clock", CATALOG, 3),
]  # fmt: skip
