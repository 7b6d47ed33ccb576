"""How pages write numbers: docs/interface.md, "Numbers"."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from core.templatetags import qm

NOW = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_utc(settings):
    settings.USE_TZ = True
    with timezone.override(UTC):
        yield


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("19859.37"), "$19,859"),
        (Decimal("100"), "$100"),
        (Decimal("99.994"), "$99.99"),
        (Decimal("99.999"), "$100"),
        (Decimal("4.12"), "$4.12"),
        (Decimal("0.00001234"), "<$0.01"),
        (Decimal("0"), "$0"),
        (0, "$0"),
        (Decimal("-4.12"), "−$4.12"),
        (Decimal("-0.001"), ">−$0.01"),
        (None, "—"),
    ],
)
def test_money_on_a_dashboard_is_whole_from_100_and_in_cents_below(amount, written):
    assert qm.money(amount) == written


def test_an_unusual_currency_is_written_by_its_code():
    assert qm.money(Decimal("19859.37"), "SEK") == "SEK 19,859"
    assert qm.money(Decimal("4.12"), "EUR") == "€4.12"


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("19859.37123456789012"), "19,859.37 USD"),
        (Decimal("5"), "5.00 USD"),
        (Decimal("0.005"), "0.00 USD"),
        (Decimal("0.015"), "0.02 USD"),
        (Decimal("-1234.5"), "−1,234.50 USD"),
    ],
)
def test_a_statement_always_has_two_decimals_rounded_half_even(amount, written):
    assert qm.money_exact(amount) == written


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("0.45"), "$0.45"),
        (Decimal("0.0125"), "$0.0125"),
        (Decimal("15"), "$15.00"),
        (Decimal("0.05"), "$0.05"),
        (Decimal("0.00001"), "<$0.0001"),
        (Decimal("0"), "$0.00"),
        (Decimal("1234.5"), "$1,234.50"),
        (None, "—"),
    ],
)
def test_a_price_has_two_decimals_and_up_to_four_when_it_is_small(amount, written):
    assert qm.price(amount) == written


def test_the_price_list_shows_every_digit_of_a_price():
    assert qm.price_exact(Decimal("0.12500000")) == "$0.125"
    assert qm.price_exact(Decimal("15.00000000")) == "$15.00"
    assert qm.price_exact(Decimal("0.00000001")) == "$0.00000001"


def test_unit_cost_has_three_decimals():
    assert qm.unit_cost(Decimal("0.5612")) == "$0.561"
    assert qm.unit_cost(None) == "—"


@pytest.mark.parametrize(
    ("amount", "digits", "written"),
    [
        (Decimal("412.4"), 2, "$410"),
        (Decimal("29969.4"), 4, "$29,970"),
        (Decimal("3.456"), 2, "$3.50"),
        (Decimal("0.00478"), 3, "$0.00478"),
        (Decimal("0"), 2, "$0"),
        (None, 2, "—"),
    ],
)
def test_an_estimate_has_only_the_digits_it_deserves(amount, digits, written):
    assert qm.money_about(amount, "USD", digits) == written


def test_a_range_is_left_out_when_one_of_its_ends_is_unknown():
    assert qm.money_range(Decimal("412"), Decimal("310"), Decimal("540")) == {
        "about": "$410",
        "low": "$310",
        "high": "$540",
    }
    assert qm.money_range(Decimal("412"), None, Decimal("540"))["high"] == ""


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0"),
        (8412, "8,412"),
        (9999, "9,999"),
        (10_000, "10K"),
        (841_500_000, "841.5M"),
        (35_391_204_118, "35.39B"),
        (999_999, "1M"),
        (999_999_999, "1B"),
        (10**15, "1,000T"),
        (None, "—"),
    ],
)
def test_a_count_is_in_full_to_9999_and_then_in_letters(count, written):
    assert qm.tokens(count) == written


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (131072, "128K"),
        (128_000, "128K"),
        (262144, "256K"),
        (200_000, "200K"),
        (1_048_576, "1M"),
        (1_000_000, "1M"),
        (512, "512"),
    ],
)
def test_a_context_window_is_written_as_its_maker_says_it(size, written):
    assert qm.context_size(size) == written


def test_programs_read_every_digit_without_exponent():
    assert qm.digits(Decimal("0E-14")) == "0.00000000000000"
    assert qm.digits(Decimal("19859.37123456789012")) == "19859.37123456789012"
    assert qm.full(35_391_204_118) == "35,391,204,118"


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (Decimal("9441"), Decimal("19859"), "48%"),
        (1, 1000, "<1%"),
        (0, 1000, "0%"),
        (1000, 1000, "100%"),
        (1, 0, "—"),
        (None, 10, "—"),
    ],
)
def test_a_share_is_a_whole_per_cent(part, whole, written):
    assert qm.share(part, whole) == written


def test_a_bar_never_leaves_its_frame():
    assert qm.bar(Decimal("9441"), Decimal("19859")) == "47.54%"
    assert qm.bar(3, 2) == "100.00%"
    assert qm.bar(None, 2) == "0.00%"
    assert qm.bar(1, None) == "0.00%"


@pytest.mark.parametrize(
    ("now", "before", "written"),
    [
        (Decimal("19859"), Decimal("17228"), "↑ 15.3%"),
        (97, 100, "↓ 3.0%"),
        (100, 100, "0.0%"),
        (5, 0, "new"),
        (0, 0, "—"),
        (None, 5, "—"),
        (5, None, "—"),
    ],
)
def test_a_change_has_one_decimal_and_an_arrow(now, before, written):
    assert qm.change(now, before) == written


def test_a_change_is_coloured_only_where_good_or_bad_is_certain():
    assert "up-bad" in qm.delta(130, 100, "cost")
    assert "up-bad" not in qm.delta(120, 100, "cost")
    assert "good" in qm.delta(90, 100, "unit_cost")
    assert "good" not in qm.delta(90, 100, "cost")
    assert "up-bad" not in qm.delta(300, 100)
    assert "higher" in qm.delta(300, 100)


@pytest.mark.parametrize(
    ("back", "written"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=2), "2 min ago"),
        (timedelta(hours=6, minutes=28), "03:12"),
        (timedelta(days=2), "18 Nov"),
        (timedelta(days=400), "16 Oct 2025"),
    ],
)
def test_time_is_relative_within_the_hour_a_clock_today_and_a_date_before(back, written):
    assert qm.ago(NOW - back, NOW) == written


def test_what_never_happened_says_never():
    assert qm.ago(None) == "never"


def test_a_date_has_its_year_only_when_it_is_another():
    assert qm.day(date(2026, 11, 18), date(2026, 11, 20)) == "18 Nov"
    assert qm.day(date(2025, 11, 18), date(2026, 11, 20)) == "18 Nov 2025"


def test_latency_changes_to_seconds_at_one_second():
    assert qm.milliseconds(380) == "380 ms"
    assert qm.milliseconds(1120) == "1.12 s"


def test_a_file_says_its_size_in_decimal_units():
    assert qm.bytes_size(812) == "812 B"
    assert qm.bytes_size(41_200_300) == "41.2 MB"


@pytest.mark.parametrize("write", [qm.money, qm.money_exact, qm.price, qm.unit_cost, qm.tokens, qm.digits])
def test_a_float_is_refused_wherever_money_or_tokens_are_written(write):
    with pytest.raises(TypeError, match="Decimal or int"):
        write(0.1)


def test_initials_come_from_the_first_two_words():
    assert qm.initials("Jonas Okafor") == "JO"
    assert qm.initials("glm-4.6") == "GL"
    assert qm.initials("") == "?"
