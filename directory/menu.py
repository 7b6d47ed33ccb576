"""The directory's entries in the staff site's menu (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import TENANTS, StaffEntry

STAFF = [
    StaffEntry("directory.groupmapping", _("Group mappings"), "list", TENANTS, 8),
    StaffEntry("directory.federatedidentity", _("Linked accounts"), "link", TENANTS, 9),
    StaffEntry("directory.directorygroup", _("Directory groups"), "users-group", TENANTS, 10),
    StaffEntry("directory.scimtoken", _("Directory tokens"), "refresh", TENANTS, 11),
]
