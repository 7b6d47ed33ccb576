"""Numbers beside a link: exact while small, then "99+", so that a menu does not read everything there is."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

MOST = 99


def count_of(rows: QuerySet[Any]) -> int | str:
    """How many rows there are, "99+" beyond 99; reads a hundred at most."""
    found = len(rows.order_by().values_list("pk", flat=True)[: MOST + 1])
    return found if found <= MOST else f"{MOST}+"
