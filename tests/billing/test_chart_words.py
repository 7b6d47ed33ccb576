"""The cost chart speaks the language of the page: dates, amounts, the word beside today."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import translation

from billing.charts import _amount_ticks, cost_figure
from billing.costs import CostPeriod, CostReport
from billing.forecast import Forecast

DAY = date(2026, 11, 30)


def figure_until(day: date) -> dict[str, Any]:
    """The chart of November as it looks on that day, before any call."""
    unused: Any = None
    report = CostReport(
        tenant=SimpleNamespace(currency="USD"), project=None, start_day=day.replace(day=1), end_day=day,
        now=CostPeriod(), before=CostPeriod(), by_kind=[], metered_to=None, final_up_to=None, estimated=unused,
    )  # fmt: skip
    nothing = Decimal(0)
    forecast = Forecast(amount=nothing, low=nothing, high=nothing, end=DAY, days={DAY: nothing})
    return cost_figure(report, last_day=DAY, forecast=forecast)


@pytest.mark.parametrize(
    ("language", "label", "shortened"),
    [("en", "Wed 18 Nov", "$20K"), ("zh-hans", "11月18日 星期三", "$2 万")],
)
def test_a_reader_of_each_language_reads_its_days_and_amounts(language, label, shortened):
    with translation.override(language):
        layout = figure_until(DAY)["layout"]
        ticks = _amount_ticks(Decimal(61_000), "USD")
    words, day = layout["meta"]["words"], date(2026, 11, 18)
    said = layout["xaxis"]["unifiedhovertitle"]["text"].removeprefix("%{x|").removesuffix("}")
    for letters, value in (
        ("%a", words["shortDays"][day.isoweekday() % 7]),
        ("%b", words["shortMonths"][day.month - 1]),
        ("%-d", str(day.day)),
        ("%-m", str(day.month)),
    ):
        said = said.replace(letters, value)
    assert said == label
    assert ticks["tickvals"][:4] == [0, 20_000, 40_000, 60_000]
    assert ticks["ticktext"][1] == shortened


@pytest.mark.parametrize("highest", [10_000, 10_001, 49_999, 50_000, 123_456, 9_999_999])
def test_between_three_and_seven_amounts_stand_beside_the_bars(highest):
    shown = [one for one in _amount_ticks(Decimal(highest), "CHF")["tickvals"] if one <= highest]
    assert 3 <= len(shown) <= 7


@pytest.mark.parametrize(
    ("day", "anchor", "at"), [(30, "right", "23:59"), (29, "center", "12:00"), (1, "center", "12:00")]
)
def test_the_word_today_stands_over_its_bar_and_ends_with_the_chart(day, anchor, at):
    (note,) = figure_until(date(2026, 11, day))["layout"]["annotations"]
    assert (note["xanchor"], note["x"]) == (anchor, f"2026-11-{day:02}T{at}")
