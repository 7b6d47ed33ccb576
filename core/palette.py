"""The search in the top bar, over everything a person may open: pages, and rows that the apps find by name.

Each app lists finders in `<app>/palette.py`, as menus are listed in `<app>/menu.py`. A finder gets what was typed, and
returns rows that its reader may see. It searches by beginnings, which an index answers: it runs while people type.
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
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from core.menu import Section, StaffEntry, staff_entries

# How many rows a finder may show.
MOST: Final = 5
# In characters, of what was typed.
LONGEST: Final = 100
# Of what staff type before rows are searched. A Chinese name may have two.
SHORTEST: Final = 2


@dataclass(frozen=True)
class Hit:
    """One thing found: its name, what tells it from others of that name, and its page."""

    label: Any
    url: str
    detail: Any = ""


@dataclass(frozen=True)
class Finder:
    """Finds one kind of row. `find` gets the reader, the tenant and the term, and returns at most `MOST` hits."""

    title: Any
    icon: str
    place: int
    find: Callable[[Any, Any, str], Iterable[Hit]]


@dataclass(frozen=True)
class Found:
    """What one finder found."""

    title: Any
    icon: str
    hits: Sequence[Hit]


def term_of(request: HttpRequest) -> str:
    """Return what was typed: `q` of the address. Empty if PostgreSQL could not store it."""
    term = request.GET.get("q", "").strip()[:LONGEST]
    return "" if "\0" in term else term


def found_in_tenant(user: Any, tenant: Any, menu: Iterable[Section], term: str) -> list[Found]:
    """Search the pages of a tenant's menu, and the tenant's rows that `user` may see.

    Args:
        user: the reader.
        tenant: whose page it is.
        menu: the page's (core/menu.py).
        term: what was typed (`term_of`).
    """
    if not term:
        return []
    found = [_pages(menu, term)]
    found += [Found(one.title, one.icon, list(one.find(user, tenant, term))[:MOST]) for one in _finders()]
    return [group for group in found if group.hits]


def found_by_staff(request: HttpRequest, menu: Iterable[Section], term: str) -> list[Found]:
    """Search the staff site's menu, and the lists that the reader may open and that are marked to be searched."""
    if not term:
        return []
    found = [_pages(menu, term)]
    # Each tenant whose rows staff see is recorded, so one letter does not search all of them.
    if len(term) >= SHORTEST:
        found += [_rows(request, entry, term) for entry in staff_entries() if entry.is_searched]
    return [group for group in found if group.hits]


@cache
def _finders() -> tuple[Finder, ...]:
    finders: list[Finder] = []
    for app in apps.get_app_configs():
        if find_spec(f"{app.name}.palette"):
            finders += getattr(import_module(f"{app.name}.palette"), "FINDERS", ())
    return tuple(sorted(finders, key=lambda finder: finder.place))


def _pages(menu: Iterable[Section], term: str) -> Found:
    said = term.casefold()
    links = [link for section in menu for link in section.links if said in str(link.label).casefold()]
    # A page whose name begins with the term before one that contains it.
    links.sort(key=lambda link: not str(link.label).casefold().startswith(said))
    return Found(_("Go to"), "list", [Hit(link.label, link.url) for link in links[:MOST]])


def _rows(request: HttpRequest, entry: StaffEntry, term: str) -> Found:
    """Search as the list's own search does, so that both find the same rows."""
    model = apps.get_model(entry.model)
    page = admin.site._registry.get(model)
    nothing = Found(entry.label, entry.icon, [])
    if page is None or not page.has_view_permission(request):
        return nothing
    rows, _may_repeat = page.get_search_results(request, page.get_queryset(request), term)
    address = f"admin:{entry.model.replace('.', '_')}_change"
    try:
        hits = [Hit(str(row), reverse(address, args=[row.pk])) for row in rows[:MOST]]
    except NoReverseMatch:
        return nothing
    return Found(entry.label, entry.icon, hits)
