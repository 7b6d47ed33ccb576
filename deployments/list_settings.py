"""Settings of operators that are lists, such as allowed networks: each is one column of a table of one row.

A person sets the list as a whole. Each list has its own action and declares here what that changes; its form and its
part of the API are in `list_setting_entry_points.py`, and `gateway/undo.py` sets the earlier list again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.timezone import now

import audit
from accounts.models import User
from tenants.revision import raise_revision


@dataclass(frozen=True)
class ListSetting:
    """A list that gateways know within seconds of a change."""

    # The table, whose one row has the id 1 and `changed_at`; and the column.
    model: type[Model]
    column: str
    # In the API, in forms and in the changes of an audit entry.
    name: str
    # Of the audit entry.
    verb: str
    # Brings values into their stored form; raises ValidationError, by `name`, naming one that is impossible.
    clean: Callable[[Iterable[str]], list[str]]

    def current(self, *, is_locked: bool = False) -> list[str]:
        """The list as it is, empty at first; `is_locked` locks it until the transaction ends."""
        rows = self.model._default_manager.filter(pk=1)
        row = (rows.select_for_update() if is_locked else rows).first()
        return list(getattr(row, self.column)) if row else []

    def replace(self, values: Iterable[str], *, by: User | None) -> list[str]:
        """Set the list, inside the transaction of its action, and return it. The same list changes nothing.

        Raises ValidationError, by `name`, naming a value that is impossible.
        """
        wanted = self.clean(values)
        self.model._default_manager.get_or_create(pk=1)
        row: Any = self.model._default_manager.select_for_update().get(pk=1)
        before = getattr(row, self.column)
        if before != wanted:
            setattr(row, self.column, wanted)
            row.changed_at = now()
            row.save(update_fields=[self.column, "changed_at"])
            changes = {self.name: (", ".join(before), ", ".join(wanted))}
            audit.record(self.verb, actor=by, subject=row, changes=changes)
            raise_revision(routing=True)
        return wanted
