"""When tests may begin: not in the last seconds of a day, or of half an hour.

Many tests make rows of today, or of this hour, and then ask what there is today. If midnight came in between, they
would find nothing. So a test that would begin just before it begins just after it.
"""

from __future__ import annotations

import time

import pytest

DAY = 24 * 3600
# Prices begin with an hour, and days of other time zones with half of one.
HALF_HOUR = 1800
# Longer than such tests take on a busy machine. Midnight comes once in a run at most.
LAST_OF_A_DAY_SECONDS = 30.0
LAST_OF_HALF_AN_HOUR_SECONDS = 4.0


def seconds_to_wait(moment: float) -> float:
    """How long a test waits that would begin at `moment`, in seconds since 1970; 0 nearly always."""
    for length, last in ((DAY, LAST_OF_A_DAY_SECONDS), (HALF_HOUR, LAST_OF_HALF_AN_HOUR_SECONDS)):
        left = length - moment % length
        if left < last:
            return left
    return 0.0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Wait until what is nearly over has ended."""
    if wait := seconds_to_wait(time.time()):
        time.sleep(wait)
