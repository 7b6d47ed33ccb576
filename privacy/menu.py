"""The audit log's entries in the side menus (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import TENANT, TENANTS, PortalEntry, StaffEntry

PORTAL = [
    PortalEntry(
        "audit-list", _("Audit"), "history", TENANT, 4, needs="view_audit", key="a",
        below=["audit-detail", "audit-exports", "emergency-access-list", "emergency-access-end"],
    ),
]  # fmt: skip

STAFF = [StaffEntry("audit.auditentry", _("Audit"), "history", TENANTS, 12, key="a")]
