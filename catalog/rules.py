"""Which reviews a request needs, and why. Pure: facts in, tracks with their reasons out.

The version is stored with every request together with what the rules said, so a decision can be explained
later with the rules of its day. Changing a rule means raising VERSION.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

VERSION: Final = "2026-11.1"
# A month, in the currency of the prices.
COST_WITHOUT_REVIEW: Final = Decimal(500)
# By track, until a review is due.
WORKING_DAYS: Final = {"security": 2, "compliance": 3, "cost": 1}
_RISK_TIERS: Final = ("low", "moderate", "high")
_AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)  # as `Facts.as_json` writes it
# By track: an approval stands on these.
_LOOKED_AT: Final = {
    "security": ("risk_tier", "is_new_to_project"),
    "compliance": ("risk_tier", "data_class"),
    "cost": ("expected_monthly_cost", "currency"),
}


@dataclass(frozen=True)
class Facts:
    """What the rules look at. `data_class_rank` rises from public (0) to restricted (3)."""

    is_new_to_project: bool
    risk_tier: str
    data_class: str
    data_class_rank: int
    # None: the model has no price.
    expected_monthly_cost: Decimal | None
    currency: str = "USD"

    def as_json(self) -> dict[str, Any]:
        """What is kept with requests and decisions: money as a string, the rank of the data class left out."""
        cost = self.expected_monthly_cost
        return {
            "expected_monthly_cost": None if cost is None else format(cost, ".8f"),
            "currency": self.currency,
            "risk_tier": self.risk_tier,
            "data_class": self.data_class,
            "is_new_to_project": self.is_new_to_project,
        }


@dataclass(frozen=True)
class NeededReview:
    """One track, the sentence that explains it, and how long it usually takes."""

    track: str
    reason: str
    working_days: int


def needed_reviews(facts: Facts) -> list[NeededReview]:
    """The reviews a request with these facts needs: always at least one."""
    needed = wanted_reviews(facts)
    if not needed:
        reason = _("Another person reviews every request.")
        needed = [NeededReview("security", reason, WORKING_DAYS["security"])]
    return needed


def wanted_reviews(facts: Facts) -> list[NeededReview]:
    """The reviews that these facts want by themselves; none where any one will do."""
    return [NeededReview(track, reason, WORKING_DAYS[track]) for track, reason in _reasons(facts)]


def worse(track: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the facts of `track` that are worse `now` than `then`, both as `Facts.as_json` says them.

    An approval carries what it was made on and anything better. Worse is: a higher cost, even by a cent, or one that
    is unknown; a cost that has become known, above what needs no review; another currency; a higher risk tier or data
    class; a project that the model is new to. A fact that nobody wrote down is worse than any.
    """
    return [name for name in _LOOKED_AT[track] if name not in then or _is_worse(name, then[name], now[name])]


def _is_worse(name: str, then: Any, now: Any) -> bool:
    if then == now:
        return False
    if name == "risk_tier":
        return _RISK_TIERS.index(now) > _RISK_TIERS.index(then)
    if name == "expected_monthly_cost" and now is not None:
        return Decimal(now) > (COST_WITHOUT_REVIEW if then is None else Decimal(then))
    if name == "is_new_to_project":
        return bool(now)
    return True


def read_facts(said: Any) -> dict[str, Any]:
    """Facts as somebody sends them back who has seen them; what cannot be one is left out, and so is worse than any."""
    return {
        name: value
        for name, value in (said if isinstance(said, Mapping) else {}).items()
        if name in _IS_READABLE and _IS_READABLE[name](value)
    }


def _is_amount(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(_AMOUNT.fullmatch(value)))


_IS_READABLE: Final[dict[str, Callable[[Any], bool]]] = {
    "expected_monthly_cost": _is_amount,
    "currency": lambda value: isinstance(value, str),
    "risk_tier": lambda value: value in _RISK_TIERS,
    "data_class": lambda value: isinstance(value, str),
    "is_new_to_project": lambda value: isinstance(value, bool),
}


def _reasons(facts: Facts) -> Iterator[tuple[str, str]]:
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
