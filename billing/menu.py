"""The entries about money in the side menus (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import INSIGHT, MONEY, PortalEntry, StaffEntry

PORTAL = [
    PortalEntry("cost", _("Cost"), "chart-bar", INSIGHT, 0, needs="view_cost", key="o"),
    PortalEntry(
        "export-list", _("Exports"), "file-download", INSIGHT, 1, below=["export-new", "export-detail"],
        needs="export_cost", key="e",
    ),
]  # fmt: skip

STAFF = [
    StaffEntry("exports.export", _("Cost reports"), "receipt", MONEY, 0, key="e"),
    StaffEntry("billing.price", _("Prices"), "tag", MONEY, 1, key="p"),
    StaffEntry("billing.usagekind", _("Kinds of usage"), "category", MONEY, 2),
    StaffEntry("billing.quarantinedevent", _("Calls not billed"), "alert-octagon", MONEY, 3),
]
