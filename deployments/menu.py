"""The platform's entries in the staff site's menu (core/menu.py)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.menu import PLATFORM, StaffEntry

STAFF = [
    StaffEntry("deployments.deployment", _("Deployments"), "rocket", PLATFORM, 0, key="d", is_searched=True),
    StaffEntry("deployments.cluster", _("Clusters"), "server", PLATFORM, 1),
    StaffEntry("deployments.provider", _("Providers"), "cloud", PLATFORM, 2),
    StaffEntry("deployments.providermodel", _("Provider models"), "list", PLATFORM, 3),
    StaffEntry("deployments.route", _("Routes"), "route", PLATFORM, 4),
]
