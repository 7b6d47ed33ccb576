"""How pages write dates and large numbers in each language."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.utils import timezone, translation

from core import dates
from core.templatetags import qm

DAY = date(2026, 11, 18)
MOMENT = datetime(2026, 11, 18, 14, 6, 31, tzinfo=UTC)
TODAY = date(2026, 11, 30)


@pytest.fixture(autouse=True)
def _in_utc():
    with timezone.override(UTC):
        yield


@pytest.mark.parametrize(
    ("written", "english", "chinese"),
    [
        (lambda: dates.day(DAY, TODAY), "18 Nov", "11月18日"),
        (lambda: dates.day(DAY, date(2027, 1, 1)), "18 Nov 2026", "2026年11月18日"),
        (lambda: dates.month_label(DAY), "November 2026", "2026年11月"),
        (lambda: dates.month_name(DAY), "Nov", "11月"),
        (lambda: dates.month_name(DAY, with_year=True), "Nov 2026", "2026年11月"),
        (lambda: dates.days_label(date(2026, 11, 1), DAY), "1–18 November 2026", "2026年11月1–18日"),
        (lambda: dates.days_label(DAY, DAY), "18 November 2026", "2026年11月18日"),
        (lambda: dates.exactly(MOMENT), "18 Nov 2026, 14:06:31 UTC", "2026年11月18日 14:06:31 UTC"),
        (lambda: qm.tokens(9_999), "9,999", "9,999"),
        (lambda: qm.tokens(10_000), "10K", "1 万"),
        (lambda: qm.tokens(841_500_000), "841.5M", "8.42 亿"),
        (lambda: qm.tokens(35_391_204_118), "35.39B", "353.91 亿"),
        (lambda: qm.tokens(99_999_999), "100M", "1 亿"),
        (lambda: qm.tokens(-12_000), "−12K", "−1.2 万"),
        (lambda: qm.tokens(5 * 10**16), "50,000T", "50,000 万亿"),
    ],
)
def test_each_language_writes_its_own(written, english, chinese):
    with translation.override("en"):
        assert written() == english
    with translation.override("zh-hans"):
        assert written() == chinese


def test_a_weekday_follows_the_order_of_the_language(monkeypatch):
    monkeypatch.setattr(timezone, "localdate", lambda: TODAY)
    with translation.override("en"):
        assert dates.weekday(DAY) == "Wed 18 Nov"
    with translation.override("zh-hans"):
        assert dates.weekday(DAY) == "11月18日 星期三"


def test_a_moment_is_in_the_current_time_zone(monkeypatch):
    monkeypatch.setattr(timezone, "localdate", lambda: TODAY)
    with timezone.override("Asia/Shanghai"):
        with translation.override("en"):
            assert dates.moment(MOMENT) == "18 Nov, 22:06"
        with translation.override("zh-hans"):
            assert dates.moment(MOMENT) == "11月18日 22:06"
