"""The gateways' entries in the staff site's menu (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import PLATFORM, StaffEntry

STAFF = [
    StaffEntry("gateway.gateway", _("Gateways"), "router", PLATFORM, 5),
    StaffEntry("gateway.refusedcalls", _("Refused calls"), "ban", PLATFORM, 7),
    StaffEntry("gateway.signingkey", _("Signing keys"), "signature", PLATFORM, 8),
]
