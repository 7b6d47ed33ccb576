"""Check that entries and checkpoints are in the order of their times: nothing is older than the checkpoint before it.

The database's clock gives all of these times. Two things put an entry after a younger checkpoint: a transaction that
began before the checkpoint and committed after it (the database rejects one that takes more than ten minutes), and a
clock that was set back. Both together are tolerated for fifteen minutes.
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
    """The entries and checkpoints found out of order, while verification follows the chain."""

    now: datetime
    number: int = 0  # of the last checkpoint
    created_at: datetime | None = None  # when it was made
    findings: int = 0
    # The first finding, in words.
    first: str = ""
    _before: dict[int, datetime | None] = field(default_factory=dict)

    def see_checkpoint(self, number: int, created_at: datetime) -> None:
        """Check the next checkpoint of the chain."""
        self._before[number] = self.created_at
        if self.created_at and created_at < self.created_at - TOLERANCE:
            self._find(
                f"Checkpoint {number} has the time {_at(created_at)}, before checkpoint {number - 1} with "
                f"{_at(self.created_at)}: it is backdated, or the clock was set back."
            )
        if created_at > self.now + TOLERANCE:
            self._find(f"Checkpoint {number} has the time {_at(created_at)}, which is in the future.")
        self.number, self.created_at = number, created_at

    def see_entries(self, number: int, head: dict[str, Any], rows: list[Row | None]) -> None:
        """Check the entries of a checkpoint already seen; None stands for an entry past retention."""
        before = self._before.pop(number)
        for row in rows:
            if row is not None:
                self.see_entry(row.id, row.at, before, number - 1)
                if row.at > head["created_at"] + TOLERANCE:
                    self._find(
                        f"Entry {row.id} has the time {_at(row.at)}, after its checkpoint {number} with "
                        f"{_at(head['created_at'])}."
                    )
        times = [row.at for row in rows if row is not None]
        if len(times) == len(rows) and (min(times), max(times)) != (head["first_at"], head["last_at"]):
            self._find(f"The times in checkpoint {number} are not those of its entries.")

    def see_entry(self, entry_id: str, at: datetime, before: datetime | None, number: int) -> None:
        """Check an entry that came after checkpoint `number`, whose time is `before`.

        Args:
            entry_id: id of the entry, a UUID of version 7.
            at: time of the entry.
            before: time of the checkpoint before.
            number: number of that checkpoint.
        """
        if before is None:
            return
        for moment, what in ((at, "has the time"), (time_of_id(UUID(entry_id)), "has an id of")):
            if moment < before - TOLERANCE:
                self._find(
                    f"Entry {entry_id} {what} {_at(moment)}, but came after checkpoint {number} of {_at(before)}: "
                    "it is backdated, or the clock was set back."
                )
                return

    def _find(self, what: str) -> None:
        self.findings += 1
        self.first = self.first or what


def _at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
