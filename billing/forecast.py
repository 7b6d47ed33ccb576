"""What the current month will probably cost.

Rule: each remaining day, and the rest of today, costs the average of the same weekday over the last four weeks. The
likely range uses the cheapest and the most expensive of those weekdays instead. With fewer than seven complete days
there is no forecast, because at least one weekday would be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

LEAST_DAYS: Final = 7
WINDOW: Final = 28


@dataclass(frozen=True)
class Forecast:
    """A month's expected spend. `days` holds the additional spend expected on each day from today on."""

    amount: Decimal
    low: Decimal
    high: Decimal
    end: date
    days: dict[date, Decimal]


def forecast_month(spend_by_day: Mapping[date, Decimal], *, today: date, month_end: date) -> Forecast | None:
    """Forecast the month of `today`. None if there are too few past days.

    `spend_by_day` holds the days of the month and of the four weeks before today. A missing day after the first one
    cost nothing.
    """
    learned = [today - timedelta(days=back) for back in range(1, WINDOW + 1)]
    first = min(spend_by_day, default=today)
    learned = [day for day in learned if day >= first]
    if len(learned) < LEAST_DAYS:
        return None
    same: dict[int, list[Decimal]] = {}
    for day in learned:
        same.setdefault(day.weekday(), []).append(spend_by_day.get(day, Decimal(0)))
    spent = sum((cost for day, cost in spend_by_day.items() if day.month == today.month and day <= today and
                 day.year == today.year), Decimal(0))  # fmt: skip
    today_so_far = spend_by_day.get(today, Decimal(0))
    amount = low = high = spent
    days = {}
    for ahead in range((month_end - today).days + 1):
        day = today + timedelta(days=ahead)
        known = today_so_far if ahead == 0 else Decimal(0)
        costs = same[day.weekday()]
        days[day] = max(sum(costs, Decimal(0)) / len(costs) - known, Decimal(0))
        amount += days[day]
        low += max(min(costs) - known, Decimal(0))
        high += max(max(costs) - known, Decimal(0))
    return Forecast(amount, low, high, month_end, days)
