"""The entries about people in the staff site's menu (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import PLATFORM, TENANTS, StaffEntry

STAFF = [
    StaffEntry("accounts.user", _("People"), "user", TENANTS, 3, is_searched=True),
    StaffEntry("accounts.staffroleassignment", _("Staff"), "id-badge", TENANTS, 4),
    StaffEntry("accounts.outboxmessage", _("Outbox"), "message-circle", PLATFORM, 60),
]
