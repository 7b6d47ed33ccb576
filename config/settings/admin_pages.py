"""How the pages of the admin look: settings of Unfold."""

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

UNFOLD = {
    "SITE_TITLE": "Quartermaster",
    "SITE_HEADER": "Quartermaster",
    "SITE_SUBHEADER": _("Operations"),
    "SITE_URL": reverse_lazy("home"),
    "SITE_ICON": lambda request: static("img/mark.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")},
    ],
    "SHOW_LANGUAGES": True,
    "LANGUAGES": {"action": reverse_lazy("language")},
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: static("qm/tokens.css"), lambda request: static("qm/admin.css")],
    "DASHBOARD_CALLBACK": "config.admin_home.front_page",
    "SIDEBAR": {"navigation": "config.admin_home.navigation"},
    "COLORS": {
        # A scale around the portal's blue, #2f54d6 at 600.
        "primary": {
            "50": "oklch(95.9% 0.018 272.3)",
            "100": "oklch(92.7% 0.032 272.3)",
            "200": "oklch(86.2% 0.062 271.9)",
            "300": "oklch(77.5% 0.114 272.5)",
            "400": "oklch(67.7% 0.165 270.7)",
            "500": "oklch(55.4% 0.204 268.3)",
            "600": "oklch(50.3% 0.204 266.5)",
            "700": "oklch(43.8% 0.178 266.8)",
            "800": "oklch(38.5% 0.144 267.2)",
            "900": "oklch(33.2% 0.115 267.9)",
            "950": "oklch(27.3% 0.061 269.0)",
        }
    },
}
