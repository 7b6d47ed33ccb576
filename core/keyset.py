"""Pages of a list, found by the last row's values: constant cost at any length, and no page numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

# Cursors are signed, so that we accept only our own.
_SALT = "keyset"

_READ: dict[str, Callable[[str], Any]] = {
    "int": int,
    "str": str,
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "UUID": UUID,
}


@dataclass(frozen=True)
class KeysetPage:
    """The rows of one page, and the cursors to the pages before and after; an empty cursor means there is none."""

    rows: list[Any]
    before: str
    after: str

    def links(self, *, fragment: str = "", **here: str) -> dict[str, str]:
        """The URLs that `components/pager.html` reads; empty if there is no such page.

        Args:
            fragment: the id of the part of the page that the links lead to.
            here: other parameters of the list's URL, by name; empty ones are left out.
        """
        said = {name: value for name, value in here.items() if value}
        end = f"#{fragment}" if fragment else ""
        return {
            "newer_url": f"?{urlencode(said | {'before': self.before})}{end}" if self.before else "",
            "older_url": f"?{urlencode(said | {'after': self.after})}{end}" if self.after else "",
        }


BOTH_ENDS: Final = _("A page is either before a place in the list or after one. Leave out before or after.")


def requested_place(query: QueryDict) -> dict[str, str]:
    """The cursors `before` and `after` of a URL; at least one is empty. Raises ValidationError if it names both."""
    place = {name: query.get(name, "") for name in ("before", "after")}
    if all(place.values()):
        raise ValidationError({"before": [BOTH_ENDS]})
    return place


def requested_page(
    request: HttpRequest, rows: QuerySet[Any], order: Sequence[str], *, size: int
) -> KeysetPage:
    """The page of `rows` that the URL of `request` names with `before` or `after`.

    `order` and `size` are as in `keyset_page`. Raises ValidationError if the URL names both.
    """
    return keyset_page(rows, order, size=size, **requested_place(request.GET))


def keyset_page(
    rows: QuerySet[Any], order: Sequence[str], *, size: int, before: str = "", after: str = ""
) -> KeysetPage:
    """A page of `rows` in `order`: names of fields or annotations, "-" for descending, together unique and never null.

    `before` and `after` are cursors of an earlier page; an unreadable cursor is ignored.

    Args:
        rows: all rows of the list.
        order: fields that sort it.
        size: number of rows of a page.
        before: cursor of the row before which the page ends.
        after: cursor of the row after which the page begins.
    """
    return page_of_parts([(rows, order)], size=size, before=before, after=after)


def page_of_parts(
    parts: Sequence[tuple[QuerySet[Any], Sequence[str]]], *, size: int, before: str = "", after: str = ""
) -> KeysetPage:
    """A page of several consecutive lists, each with its own order, as in `keyset_page`.

    For rows that no single index sorts, such as rows without a key followed by rows with one. It runs at most one
    query per part; a page ends in the part where it is full.

    Args:
        parts: rows and order of each list.
        size: number of rows of a page.
        before: cursor of the row before which the page ends.
        after: cursor of the row after which the page begins.
    """
    cursor = before or after
    start, edge = _place(cursor, [order for _rows, order in parts])
    is_backwards = bool(before) and edge is not None
    found: list[tuple[int, Any]] = []
    for number in range(start, -1, -1) if is_backwards else range(start, len(parts)):
        rows, order = parts[number]
        wanted = [_turned(name) for name in order] if is_backwards else list(order)
        if edge is not None and number == start:
            rows = rows.filter(_beyond(wanted, edge))
        found += [(number, row) for row in rows.order_by(*wanted)[: size + 1 - len(found)]]
        if len(found) > size:
            break
    has_more = len(found) > size
    found = found[:size]
    if is_backwards:
        found.reverse()
    has_before, has_after = (has_more, True) if is_backwards else (edge is not None, has_more)

    def place_of(number: int, row: Any) -> str:
        text = _cursor(row, parts[number][1])
        return f"{number}.{text}" if number else text

    return KeysetPage(
        rows=[row for _number, row in found],
        before=place_of(*found[0]) if found and has_before else "",
        after=place_of(*found[-1]) if found and has_after else "",
    )


def is_place(cursor: str, order: Sequence[str]) -> bool:
    """Whether a cursor stands for a row of a list in this order."""
    return _read(cursor, order) is not None


def _place(cursor: str, orders: Sequence[Sequence[str]]) -> tuple[int, list[Any] | None]:
    """The part and the row that a cursor stands for; the beginning if it is unreadable."""
    for number, order in enumerate(orders):
        text = cursor.removeprefix(f"{number}.") if number else cursor
        if (edge := _read(text, order)) is not None:
            return number, edge
    return 0, None


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _beyond(order: Sequence[str], edge: Sequence[Any]) -> Q:
    """Rows after `edge`: later by the first name, or equal there and later by the second, and so on."""
    first = f"{order[0].lstrip('-')}__{'lte' if order[0].startswith('-') else 'gte'}"
    # Redundant, but it lets an index scan start there.
    bound = Q(**{first: edge[0]})
    condition = Q()
    equal = Q()
    for name, value in zip(order, edge, strict=True):
        bare = name.lstrip("-")
        condition |= equal & Q(**{f"{bare}__{'lt' if name.startswith('-') else 'gt'}": value})
        equal &= Q(**{bare: value})
    return bound & condition


def _cursor(row: Model, order: Sequence[str]) -> str:
    values = []
    for name in order:
        value = getattr(row, name.lstrip("-"))
        kind = "int" if isinstance(value, bool) else type(value).__name__
        values.append([kind, value.isoformat() if isinstance(value, datetime) else str(value)])
    return signing.dumps([list(order), values], salt=_SALT)


def _read(cursor: str, order: Sequence[str]) -> list[Any] | None:
    if not cursor:
        return None
    try:
        made_for, values = signing.loads(cursor, salt=_SALT)
    except signing.BadSignature:
        return None
    return [_READ[kind](value) for kind, value in values] if made_for == list(order) else None
