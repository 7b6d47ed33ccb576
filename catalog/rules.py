"""Which reviews a request needs, and why. Pure: facts in, tracks with their reasons out.

The version is stored with every request together with what the rules said, so a decision can be explained
later with the rules of its day. Changing a rule means raising VERSION.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.utils.translation import gettext as _

VERSION: Final = "2026-11.1"
COST_WITHOUT_REVIEW: Final = Decimal(500)  # a month, in the currency of the prices
_DAYS: Final = {"security": 2, "compliance": 3, "cost": 1}  # working days until a review is due


@dataclass(frozen=True)
class Facts:
    """What the rules look at. `data_class_rank` rises from public (0) to restricted (3)."""

    is_new_to_project: bool
    risk_tier: str
    data_class: str
    data_class_rank: int
    expected_monthly_cost: Decimal | None  # None: the model has no price
    currency: str = "USD"


@dataclass(frozen=True)
class NeededReview:
    """One track, the sentence that explains it, and how long it usually takes."""

    track: str
    because: str
    working_days: int


def needed_reviews(facts: Facts) -> list[NeededReview]:
    """The reviews a request with these facts needs: always at least one."""
    needed = [NeededReview(track, because, _DAYS[track]) for track, because in _because(facts)]
    if not needed:
        because = _("Somebody other than you looks at every request.")
        needed = [NeededReview("security", because, _DAYS["security"])]
    return needed


def _because(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.is_new_to_project:
        yield "security", _("The project has not used this model before.")
    elif facts.risk_tier == "high":
        yield "security", _("The model's risk tier is high.")

    if facts.data_class_rank >= 2:
        yield "compliance", _("You want to send %(class)s data.") % {"class": facts.data_class}
    elif facts.risk_tier == "high":
        yield "compliance", _("The model's risk tier is high.")

    if facts.expected_monthly_cost is None:
        yield "cost", _("The model has no price yet, so its cost is unknown.")
    elif facts.expected_monthly_cost > COST_WITHOUT_REVIEW:
        yield (
            "cost",
            _("The expected cost is above %(amount)s %(currency)s a month.")
            % {"amount": COST_WITHOUT_REVIEW, "currency": facts.currency},
        )


def due_at(begins: datetime, working_days: int) -> datetime:
    """The moment this many working days after `begins`; Saturdays and Sundays do not count."""
    moment, left = begins, working_days
    while left:
        moment += timedelta(days=1)
        left -= moment.weekday() < 5
    return moment
