"""Whether entries and seals are in the order of their times: nothing is older than the seal before it.

The database's clock gives all of these times. Two things move an entry behind a seal that is younger: a transaction
that began before the seal and was committed after it (the database refuses one that takes more than ten minutes), and
a clock that was set back. Both together are tolerated for fifteen minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from audit.canonical import Row
from core.ids import time_of_id

TOLERANCE: Final = timedelta(minutes=15)


@dataclass
class Times:
    """What was found out of order, as it is walked along the chain."""

    now: datetime
    number: int = 0  # of the last seal
    sealed_at: datetime | None = None  # when it was made
    findings: int = 0
    first: str = ""  # the first finding, in words
    _before: dict[int, datetime | None] = field(default_factory=dict)

    def see_seal(self, number: int, sealed_at: datetime) -> None:
        """The next seal of the chain."""
        self._before[number] = self.sealed_at
        if self.sealed_at and sealed_at < self.sealed_at - TOLERANCE:
            self._find(
                f"Seal {number} is of {_at(sealed_at)}, before seal {number - 1} of {_at(self.sealed_at)}: "
                "it is backdated, or the clock was set back."
            )
        if sealed_at > self.now + TOLERANCE:
            self._find(f"Seal {number} is of {_at(sealed_at)}, which is still to come.")
        self.number, self.sealed_at = number, sealed_at

    def see_entries(self, number: int, head: dict[str, Any], rows: list[Row | None]) -> None:
        """The entries of a seal that was seen; None for one past retention."""
        before = self._before.pop(number)
        for row in rows:
            if row is not None:
                self.see_entry(row.id, row.at, before, number - 1)
                if row.at > head["sealed_at"] + TOLERANCE:
                    self._find(
                        f"Entry {row.id} is of {_at(row.at)}, after its seal {number} of {_at(head['sealed_at'])}."
                    )
        times = [row.at for row in rows if row is not None]
        if len(times) == len(rows) and (min(times), max(times)) != (head["first_at"], head["last_at"]):
            self._find(f"Seal {number} says other times than those of its entries.")

    def see_entry(self, entry_id: str, at: datetime, before: datetime | None, number: int) -> None:
        """An entry that came after seal `number`, which is of the time `before`."""
        if before is None:
            return
        for moment, what in ((at, "is of"), (time_of_id(UUID(entry_id)), "has an id of")):
            if moment < before - TOLERANCE:
                self._find(
                    f"Entry {entry_id} {what} {_at(moment)}, but came after seal {number} of {_at(before)}: "
                    "it is backdated, or the clock was set back."
                )
                return

    def _find(self, what: str) -> None:
        self.findings += 1
        self.first = self.first or what


def _at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
