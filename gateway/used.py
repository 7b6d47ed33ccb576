"""How much of a daily or monthly limit the ledger has seen used: where a starting gateway begins to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tenants.models import Limit


@dataclass(frozen=True)
class Seen:
    """Tokens, or nano-units of money, used in the current window up to the second `as_of`."""

    amount: int
    as_of: int


Used = dict[UUID, Seen]  # by limit


def used_of(limits: Sequence[Limit]) -> Used:
    """What the ledger says of the limits that have a window of a day or a month."""
    return {}
