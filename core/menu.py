"""The side menus of both sites, as data: each app names its pages in `<app>/menu.py`, beside its URLs.

`PORTAL` there lists links to pages of a tenant, `STAFF` links to lists of the staff site. A menu has the entries of all
apps, by group and place. The same data gives the first crumb of a page, and the keys that lead somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Group:
    """A part of a menu. `title` is empty for the part that needs none."""

    place: int
    title: Any


WORK: Final = Group(0, "")
INSIGHT: Final = Group(1, _("Insight"))
TENANT: Final = Group(2, _("Tenant"))

REQUESTS: Final = Group(0, _("Requests"))
CATALOG: Final = Group(1, _("Catalog"))
MONEY: Final = Group(2, _("Money"))
PLATFORM: Final = Group(3, _("Platform"))
TENANTS: Final = Group(4, _("Tenants"))


@dataclass(frozen=True)
class Count:
    """A number beside a link: something waits for the reader. `words` follow it for screen readers ("to claim")."""

    of: Callable[[Any], int | str]
    words: Any


@dataclass(frozen=True)
class PortalEntry:
    """A link to a page of a tenant."""

    # The URL's name. Its only argument is the tenant.
    page: str
    label: Any
    icon: str
    group: Group
    # Within its group.
    place: int
    # Names of other URLs that belong here: their menu entry and their first crumb is this one.
    below: Sequence[str] = ()
    # What the person must be allowed to do in the tenant ("view_cost"). Empty: every member sees the link.
    needs: str = ""
    # After `g`.
    key: str = ""
    # Asked with the page's Portal (tenants/views/mixins.py).
    count: Count | None = None


@dataclass(frozen=True)
class StaffEntry:
    """A link to a list of the staff site. It is shown to people who may open the list."""

    # "app.model"; every page of its ModelAdmin belongs here.
    model: str
    label: Any
    icon: str
    group: Group
    place: int
    key: str = ""
    # Whether the search in the top bar (core/palette.py) searches this list, by the list's own search.
    is_searched: bool = False
    # Asked with the request.
    count: Count | None = None


@dataclass(frozen=True)
class Link:
    """An entry as a page shows it."""

    url: str
    label: Any
    icon: str
    key: str
    # "page": this very page. "true": the page belongs to the entry. Empty: neither.
    current: str
    count: int | str
    count_words: Any


@dataclass(frozen=True)
class Section:
    """A group with the links that this person sees."""

    title: Any
    links: Sequence[Link]


def portal_menu(request: HttpRequest, slug: str, portal: Any) -> list[Section]:
    """Return the menu of a tenant's pages.

    Args:
        request: of the page that shows it.
        slug: the tenant's.
        portal: the page's Portal, whose `actions` decide what is shown.
    """
    here = _here(request)
    return _sections(
        (
            entry.group,
            Link(
                url=reverse(entry.page, args=[slug]),
                label=entry.label,
                icon=entry.icon,
                key=entry.key,
                current=_current(here, entry.page, here in entry.below),
                count=entry.count.of(portal) if entry.count else 0,
                count_words=entry.count.words if entry.count else "",
            ),
        )
        for entry in portal_entries()
        if not entry.needs or entry.needs in portal.actions
    )


def staff_menu(request: HttpRequest) -> list[Section]:
    """Return the menu of the staff site: the lists that the reader may open."""
    here = _here(request)
    return _sections(
        (
            entry.group,
            Link(
                url=reverse(f"admin:{_prefix(entry)}changelist"),
                label=entry.label,
                icon=entry.icon,
                key=entry.key,
                current=_current(here, f"{_prefix(entry)}changelist", here.startswith(_prefix(entry))),
                count=entry.count.of(request) if entry.count else 0,
                count_words=entry.count.words if entry.count else "",
            ),
        )
        for entry in staff_entries()
        if _may_open(request, entry)
    )


def current_link(menu: Iterable[Section]) -> Link | None:
    """Return the entry that the page is, or belongs to."""
    return next((link for section in menu for link in section.links if link.current), None)


@cache
def portal_entries() -> tuple[PortalEntry, ...]:
    return tuple(sorted(_entries("PORTAL"), key=_order))


@cache
def staff_entries() -> tuple[StaffEntry, ...]:
    return tuple(sorted(_entries("STAFF"), key=_order))


def _entries(site: str) -> Iterable[Any]:
    for app in apps.get_app_configs():
        if find_spec(f"{app.name}.menu"):
            yield from getattr(import_module(f"{app.name}.menu"), site, ())


def _order(entry: PortalEntry | StaffEntry) -> tuple[int, int]:
    return entry.group.place, entry.place


def _sections(links: Iterable[tuple[Group, Link]]) -> list[Section]:
    by_group: dict[Group, list[Link]] = {}
    for group, link in links:
        by_group.setdefault(group, []).append(link)
    return [Section(group.title, found) for group, found in by_group.items()]


def _here(request: HttpRequest) -> str:
    return (request.resolver_match.url_name if request.resolver_match else None) or ""


def _current(here: str, page: str, is_below: bool) -> str:
    if here == page:
        return "page"
    return "true" if is_below else ""


def _prefix(entry: StaffEntry) -> str:
    return entry.model.replace(".", "_") + "_"


def _may_open(request: HttpRequest, entry: StaffEntry) -> bool:
    page = admin.site._registry.get(apps.get_model(entry.model))
    return page is not None and page.has_view_permission(request)
