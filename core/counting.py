"""Numbers beside a link: exact up to 99, then "99+", so that a menu does not count every row."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

MOST = 99


def count_of(rows: QuerySet[Any]) -> int | str:
    """The number of rows, or "99+" beyond 99; reads at most a hundred."""
    found = len(rows.order_by().values_list("pk", flat=True)[: MOST + 1])
    return found if found <= MOST else f"{MOST}+"


def number_of(count: int | str) -> int:
    """What `count_of` returned, as a number that chooses between singular and plural."""
    return count if isinstance(count, int) else MOST + 1
