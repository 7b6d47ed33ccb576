"""What the shell says about a page of the staff site: its title, its state, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import display_for_value, quote
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import IntegerField, Model
from django.http import HttpRequest
from django.template import Library
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.utils import display_for_label

from core.dates import DASH
from core.menu import staff_entries
from core.templatetags.qm import full

register = Library()

# Unfold's words for kinds of badges, and the portal's classes.
_BADGES = {"info": "info", "primary": "info", "danger": "bad", "warning": "warn", "success": "ok"}


@dataclass(frozen=True)
class Crumb:
    """A page above this one."""

    label: str
    url: str


@dataclass(frozen=True)
class StaffPage:
    """A page of the staff site. `crumbs` lead to it; the front page has none."""

    title: str
    crumbs: tuple[Crumb, ...]


@register.simple_tag(takes_context=True)
def staff_page(context: Mapping[str, Any]) -> StaffPage:
    """Return the page's title and crumbs, from what the views of Django's admin put into `context`.

    A list is called as in the menu, a row's page by the row, and a form "New …"; other pages have a `title`.
    """
    opts = context.get("opts")
    if opts is None and "app_label" not in context:
        return StaffPage(str(context.get("title") or _("Operations")), ())
    title = _title(context, opts)
    return StaffPage(title, tuple(crumb for crumb in _crumbs(context, opts) if crumb.label != title))


@register.simple_tag(takes_context=True)
def staff_badge(context: Mapping[str, Any]) -> str:
    """Return the state of the row whose page it is, as a badge: what the admin class calls `page_badge`.

    A state of None has no badge.
    """
    form, row = context.get("adminform"), context.get("original")
    if form is None or row is None:
        return ""
    name = getattr(form.model_admin, "page_badge", "")
    if not name:
        return ""
    column = getattr(form.model_admin, name)
    state = column(row)
    return "" if state is None else str(display_for_label(state, "", column.label))


@register.simple_tag
def page_address(changelist: ChangeList, number: int) -> str:
    """Return the address of page `number` of a list, with what narrows it."""
    return str(changelist.get_query_string({PAGE_VAR: number}))


@register.filter
def badge_kind(variant: object) -> str:
    """Return the class of a badge that Unfold calls "danger", "success" and so on; a plain badge has none."""
    return _BADGES.get(str(variant), "")


def _title(context: Mapping[str, Any], opts: Any) -> str:
    row = _row(context)
    if context.get("cl"):
        return _name_of_list(opts)
    if "deleted_objects" in context:
        return _("Delete %(name)s?") % {"name": row}
    if "action_list" in context:
        return _("History of %(name)s") % {"name": row}
    if context.get("add"):
        return _("New %(name)s") % {"name": opts.verbose_name}
    if "adminform" in context:
        return str(row)
    if "app_list" in context and opts is None:
        return str(apps.get_app_config(context["app_label"]).verbose_name)
    return str(context.get("title") or "")


def _crumbs(context: Mapping[str, Any], opts: Any) -> Iterator[Crumb]:
    yield Crumb(_("Operations"), reverse("admin:index"))
    if opts is None or context.get("cl"):
        return
    pages = f"admin:{opts.app_label}_{opts.model_name}"
    if _may_open(context["request"], opts):
        yield Crumb(_name_of_list(opts), reverse(f"{pages}_changelist"))
    row = _row(context)
    if row is not None and "adminform" not in context:
        yield Crumb(str(row), reverse(f"{pages}_change", args=[quote(row.pk)]))


def _row(context: Mapping[str, Any]) -> Model | None:
    row = context.get("original") or context.get("object")
    return row if isinstance(row, Model) else None


def _name_of_list(opts: Any) -> str:
    names = {entry.model: entry.label for entry in staff_entries()}
    return str(names.get(opts.label_lower) or capfirst(opts.verbose_name_plural))


def _may_open(request: HttpRequest, opts: Any) -> bool:
    page = admin.site._registry.get(opts.model)
    return page is not None and page.has_view_permission(request)


@register.filter
def read_value(field: Any) -> Any:
    """What a field that is only read shows: a state as its badge, as lists do, and a count in groups of digits."""
    found = getattr(field, "resolved_field", None)
    if found and isinstance(found[0], IntegerField) and found[2] is not None and not found[0].primary_key:
        return full(found[2])
    if found and found[0] is None and isinstance(found[2], datetime):
        return display_for_value(found[2], DASH)
    if found and isinstance(found[2], tuple) and (colors := getattr(found[1], "label", None)) is not None:
        return display_for_label(found[2], DASH, colors)
    return field.contents()


@register.filter
def chosen(choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What of a list's filter is in force: its words, empty for a choice that there is not, and whether it is all."""
    selected = [choice for choice in choices if choice["selected"]]
    return {
        "words": ", ".join(str(choice["display"]) for choice in selected),
        "is_everything": bool(choices) and bool(choices[0]["selected"]),
    }


_LABEL: Final = re.compile(r'(?<= data-label=")[^"&]')
_COUNT: Final = re.compile(
    r'(?P<before>^<td class="field-(?:price_for|scale|added|changed|rows_total|offer_count|spool_pending)[^>]*>)'
    r"(?P<count>\d+)(?=</td>$)"
)


@register.filter
def cell(item: str) -> SafeString:
    """A cell of a list as Unfold writes it, with its name on phones as in the head, and a count in groups of digits."""
    named = _LABEL.sub(lambda first: first[0].upper(), str(item), count=1)
    return mark_safe(_COUNT.sub(lambda found: found["before"] + full(int(found["count"])), named))  # noqa: S308  # Unfold escaped it
