"""The staff site's menu, and its home page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.permissions import signed_in
from core.home import Reader, Site, shown_to
from core.menu import staff_menu


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The staff site's menu (core/menu.py) as Unfold wants it."""
    return [
        {
            "title": section.title,
            "items": [
                {"title": link.label, "link": link.url, "badge": link.count or ""} for link in section.links
            ],
        }
        for section in staff_menu(request)
    ]


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: the blocks of the reader's roles, the most urgent first."""
    reader = Reader(request, signed_in(request))
    return context | {"home": shown_to(reader, Site.STAFF), "title": _("Home")}
