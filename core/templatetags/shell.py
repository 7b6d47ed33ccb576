"""What the shell of both sites shows: the side menu."""

from __future__ import annotations

from typing import Any

from django.template import Library

from core.menu import Link, Section, current_link, portal_menu, staff_menu

register = Library()


@register.simple_tag(takes_context=True)
def side_menu(context: dict[str, Any]) -> list[Section]:
    """Return the menu of the page: the tenant's if the page is one of a tenant, else the staff site's."""
    request, portal = context["request"], context.get("portal")
    return portal_menu(request, context["tenant"].slug, portal) if portal else staff_menu(request)


@register.simple_tag
def menu_link(menu: list[Section]) -> Link | None:
    """Return the link of `menu` that the page is or belongs to: its first crumb."""
    return current_link(menu)
