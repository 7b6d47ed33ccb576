"""The entries about a tenant and its people in the side menus (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import PLATFORM, REQUESTS, TENANT, TENANTS, PortalEntry, StaffEntry

PORTAL = [
    PortalEntry(
        "member-list", _("Members"), "users", TENANT, 0, key="m",
        below=[
            "member-detail", "member-role", "member-project-role", "member-remove", "invitation-new",
            "invitation-resend", "invitation-withdraw", "service-account-new", "service-account-disable",
            "service-account-enable",
        ],
    ),
    PortalEntry(
        "project-list", _("Projects"), "folder", TENANT, 1, key="p",
        below=["project-new", "project-edit", "project-limits", "refused-calls"],
    ),
    PortalEntry(
        "tenant-token-list", _("Tokens"), "lock", TENANT, 2, needs="manage_tokens",
        below=["tenant-token-new", "tenant-token-revoke"],
    ),
    PortalEntry(
        "tenant-settings", _("Settings"), "adjustments-horizontal", TENANT, 3, needs="manage_tenant",
        below=["tenant-closing"],
    ),
    PortalEntry(
        "webhook-list", _("Webhooks"), "link", TENANT, 5, needs="manage_tenant",
        below=[
            "webhook-new", "webhook-detail", "webhook-edit", "webhook-rotate", "webhook-test", "webhook-disable",
            "webhook-enable", "webhook-delete", "webhook-delivery-again",
        ],
    ),
]  # fmt: skip

STAFF = [
    StaffEntry("tenants.apikey", _("Keys"), "key", REQUESTS, 3, key="k", is_searched=True),
    StaffEntry("tenants.limit", _("Limits"), "gauge", REQUESTS, 4),
    StaffEntry("tenants.configchange", _("Revisions"), "history", PLATFORM, 6),
    StaffEntry("tenants.tenant", _("Tenants"), "building", TENANTS, 0, key="t", is_searched=True),
    StaffEntry("tenants.project", _("Projects"), "folder", TENANTS, 1, is_searched=True),
    StaffEntry("tenants.membership", _("Members"), "users", TENANTS, 2, key="m"),
    StaffEntry("tenants.tenantclosing", _("Closings"), "lock", TENANTS, 5),
    StaffEntry("tenants.emergencyaccess", _("Emergency access"), "urgent", TENANTS, 6),
    StaffEntry("tenants.personalaccesstoken", _("Tokens"), "key", TENANTS, 7),
    StaffEntry("tenants.webhook", _("Webhooks"), "link", TENANTS, 13),
    StaffEntry("tenants.webhookdelivery", _("Webhook deliveries"), "list", TENANTS, 14),
]
