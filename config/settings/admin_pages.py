"""How the pages of the admin look: settings of Unfold. None of its stylesheets and scripts is loaded."""

from django.utils.translation import gettext_lazy as _

UNFOLD = {
    "SITE_TITLE": "Quartermaster",
    "SITE_HEADER": "Quartermaster",
    "SITE_SUBHEADER": _("Operations"),
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "config.admin_home.front_page",
    "SIDEBAR": {"navigation": "config.admin_home.navigation"},
}
