"""Numbers, times and icons on the portal's pages.

Amounts and counts are Decimal or int from the database to the page; a float raises TypeError.
None means "not applicable" or "unknown" and is written as a dash, never as 0. A number
that the view forgot to pass raises TypeError too; a missing time counts as None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from django import template
from django.forms import BoundField, Select, Textarea
from django.forms.widgets import Input
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.dates import DASH, ago, clock, day, exactly, moment, weekday
from core.joined import named
from core.stored_words import retold

register = template.Library()
for _date_filter in (ago, clock, day, moment, weekday):
    register.filter(_date_filter.__name__, _date_filter)
register.filter("named", named)

Number = Decimal | int
MINUS = "−"
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹", "KRW": "₩"}
CENT = Decimal("0.01")
# How a language shortens large numbers; each unit is as many times the one before.
_UNITS: dict[str, tuple[tuple[int, str], ...]] = {
    "en": ((10**3, "K"), (10**6, "M"), (10**9, "B"), (10**12, "T")),
    "zh-hans": ((10**4, " 万"), (10**8, " 亿"), (10**12, " 万亿")),
}


def _exact(value: Number) -> Decimal:
    """`value` as a Decimal; rejects floats, which cannot represent money or be compared to the ledger."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"A number on a page must be Decimal or int, not {type(value).__name__}: {value!r}")
    return Decimal(value)


def _round(value: Decimal, step: Decimal) -> Decimal:
    """Round half-even to a multiple of `step`, whatever the size of the number."""
    return value.quantize(step, rounding=ROUND_HALF_EVEN, context=Context(prec=60))


def _signed(value: Decimal, text: str) -> str:
    return f"{MINUS}{text}" if value < 0 else text


def _with_currency(value: Decimal, text: str, currency: str) -> str:
    symbol = SYMBOLS.get(currency)
    return _signed(value, f"{symbol}{text}" if symbol else f"{currency} {text}")


def _less_than(least: str, amount: Decimal, currency: str) -> str:
    return f"{'<' if amount > 0 else '>'}{_with_currency(amount, least, currency)}"


@register.filter
def close_up(said: str) -> str:
    """A sentence in Chinese without the space between 万 or 亿 and what is counted: "1.59 万次调用"."""
    return re.sub(r"(?<=[万亿]) (?=[\u4e00-\u9fff])", "", said)


@register.filter
def money(value: Number | None, currency: str = "USD") -> str:
    """Money in a dashboard: whole units from 100, cents below, "<$0.01" for less than a cent."""
    if value is None:
        return DASH
    amount = _exact(value)
    size = abs(amount)
    if size == 0:
        return _with_currency(amount, "0", currency)
    if _round(size, CENT) >= 100:
        return _with_currency(amount, f"{_round(size, Decimal(1)):,f}", currency)
    if size < CENT:
        return _less_than("0.01", amount, currency)
    return _with_currency(amount, f"{_round(size, CENT):,f}", currency)


@register.filter
def money_exact(value: Number | None, currency: str = "USD") -> str:
    """Money in a statement: always two decimals and the currency code, "19,859.37 USD"."""
    if value is None:
        return DASH
    amount = _exact(value)
    return _signed(_round(amount, CENT), f"{abs(_round(amount, CENT)):,f} {currency}")


@register.simple_tag
def money_about(value: Number | None, currency: str = "USD", digits: int = 2) -> str:
    """An estimate with 2 to 4 significant digits: "$410", "$29,970", "$0.0048"."""
    if value is None:
        return DASH
    amount = _exact(value)
    if amount == 0:
        return _with_currency(amount, "0", currency)
    rounded = Context(prec=digits, rounding=ROUND_HALF_EVEN).plus(abs(amount))
    if rounded >= 10:
        rounded = _round(rounded, Decimal(1))
    elif rounded >= Decimal("0.1"):
        rounded = _round(rounded, CENT)
    else:
        return _with_currency(amount, _at_least_cents(rounded), currency)
    return _with_currency(amount, f"{rounded:,f}", currency)


@register.simple_tag
def money_range(
    value: Number | None, low: Number | None, high: Number | None, currency: str = "USD", digits: int = 2
) -> dict[str, str]:
    """An estimate and its likely range, ready for one translated sentence: {about, low, high}.

    Args:
        value: the estimate; None: unknown.
        low: lower end of the range.
        high: upper end of the range.
        currency: three letters.
        digits: significant digits.
    """
    return {
        "about": money_about(value, currency, digits),
        "low": "" if low is None or high is None else money_about(low, currency, max(digits - 1, 2)),
        "high": "" if low is None or high is None else money_about(high, currency, max(digits - 1, 2)),
    }


@register.filter
def price(value: Number | None, currency: str = "USD") -> str:
    """A price per million units: two decimals, up to four below 0.10: "$0.45", "$0.0125", "$15.00"."""
    if value is None:
        return DASH
    amount = _exact(value)
    size = abs(amount)
    if size == 0 or size >= Decimal("0.10"):
        return _with_currency(amount, f"{_round(size, CENT):,f}", currency)
    if size < Decimal("0.0001"):
        return _less_than("0.0001", amount, currency)
    return _with_currency(amount, _at_least_cents(_round(size, Decimal("0.0001"))), currency)


@register.filter
def price_exact(value: Number | None, currency: str = "USD") -> str:
    """A price with all its digits, at least two decimals, as in the price list."""
    if value is None:
        return DASH
    amount = _exact(value)
    return _with_currency(amount, _at_least_cents(abs(amount)), currency)


def _at_least_cents(size: Decimal) -> str:
    text = f"{size:,f}"
    whole, _dot, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


@register.filter
def unit_cost(value: Number | None, currency: str = "USD") -> str:
    """Cost per million tokens: three decimals, "$0.561"."""
    if value is None:
        return DASH
    amount = _exact(value)
    return _with_currency(amount, f"{_round(abs(amount), Decimal('0.001')):,f}", currency)


@register.filter
def tokens(value: Number | None) -> str:
    """A count: in full up to 9,999, then K, M or B with up to two decimals: "8,412", "841.5M", "35.39B".

    Chinese counts in ten thousands: "353.9 亿".
    """
    if value is None:
        return DASH
    count = _exact(value)
    size = abs(count)
    if size < 10_000:
        return _signed(count, f"{_round(size, Decimal(1)):,f}")
    units = _UNITS.get(get_language() or "", _UNITS["en"])
    factor = units[1][0] // units[0][0]
    unit, name = next((one for one in units if _round(size / one[0], CENT) < factor), units[-1])
    digits = f"{_round(size / unit, CENT):,f}"
    return _signed(count, f"{digits.rstrip('0').rstrip('.')}{name}")


@register.filter
def context_size(value: int | None) -> str:
    """A context window as its maker writes it: 128000 and 131072 are "128K", 1048576 is "1M"."""
    if value is None:
        return DASH
    for base in (1000, 1024):
        if value >= base and value % base == 0:
            thousands = value // base
            if thousands >= base and thousands % base == 0:
                return f"{thousands // base}M"
            return f"{thousands:,}K" if thousands < 1000 else f"{tokens(value)}"
    return tokens(value)


@register.filter
def full(value: Number | None) -> str:
    """A count in full with separators, for titles: "35,391,204,118"."""
    return DASH if value is None else f"{_exact(value):,f}"


@register.filter
def digits(value: Number | None) -> str:
    """Every digit, no separators, never an exponent, for programs that read `<data value>`."""
    return "" if value is None else f"{_exact(value):f}"


@register.filter
def share(part: Number | None, whole: Number | None) -> str:
    """A share as a whole percentage: "48%", or "<1%" if it is small but not zero."""
    fraction = _fraction(part, whole)
    if fraction is None:
        return DASH
    if 0 < fraction < Decimal("0.005"):
        return "<1%"
    return f"{_round(fraction * 100, Decimal(1)):f}%"


@register.filter
def bar(part: Number | None, whole: Number | None) -> str:
    """The same share as the width of an SVG rectangle, "47.54%", never outside 0 to 100."""
    fraction = _fraction(part, whole) or Decimal(0)
    return f"{_round(min(max(fraction, Decimal(0)), Decimal(1)) * 100, CENT):f}%"


def _fraction(part: Number | None, whole: Number | None) -> Decimal | None:
    if part is None or whole is None or _exact(whole) == 0:
        return None
    return _exact(part) / _exact(whole)


@register.filter
def change(now: Number | None, before: Number | None) -> str:
    """A change with one decimal and an arrow: "↑ 15.3%"; "new" when there was nothing before."""
    if now is None or before is None:
        return DASH
    if _exact(before) == 0:
        return _("new") if _exact(now) else DASH
    moved = _percent(now, before)
    return f"{'↑' if moved > 0 else '↓'} {abs(moved):,f}%" if moved else "0.0%"


def _percent(now: Number, before: Number) -> Decimal:
    return _round((_exact(now) - _exact(before)) / abs(_exact(before)) * 100, Decimal("0.1"))


@register.simple_tag
def delta(now: Number | None, before: Number | None, kind: str = "volume") -> str:
    """A change as arrow, percentage, and words for people who cannot see the arrow.

    It has a color only if good or bad is certain: `kind="unit_cost"` is green from 3% down, `kind="cost"` red
    from 25% up, `kind="volume"` is never colored.
    """
    if now is None or before is None or _exact(before) == 0:
        return change(now, before)
    moved = _percent(now, before)
    if not moved:
        return "0.0%"
    tone = ""
    if kind == "unit_cost" and moved <= -3:
        tone = " good"
    elif kind in ("cost", "unit_cost") and moved >= 25:
        tone = " up-bad"
    return format_html(
        '<span class="qm-delta{}">{}{}%<span class="visually-hidden"> {}</span></span>',
        tone,
        icon("arrow-up" if moved > 0 else "arrow-down"),
        f"{abs(moved):,f}",
        _("higher") if moved > 0 else _("lower"),
    )


@register.filter
def milliseconds(value: int | None) -> str:
    """A duration in milliseconds: "380 ms", from one second on "1.12 s"."""
    if value is None:
        return DASH
    return f"{value} ms" if value < 1000 else f"{_round(Decimal(value) / 1000, CENT):f} s"


@register.filter
def bytes_size(value: int | None) -> str:
    """A file's size in decimal units: "812 B", "4.1 MB"."""
    if value is None:
        return DASH
    size, unit = Decimal(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:f} B" if unit == "B" else f"{_round(size, Decimal('0.1')):f} {unit}"


@register.filter
def stored(text: str) -> str:
    """A text that is stored in English, in the language of the page."""
    return retold(text)


@register.simple_tag
def when(value: datetime | None) -> str:
    """`ago` inside `<time>`, with the exact moment and its zone in the title."""
    if not value:
        return _("never")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        exactly(value),
        ago(value),
    )


@register.simple_tag
def right_now() -> str:
    """The moment at which the page is made, with its zone: for sheets of paper, which do not say how old they are."""
    return exactly(now())


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """A Tabler icon from the sprite; decoration only, so hidden from screen readers. `size` may be "lg"."""
    return format_html(
        '<svg class="icon{}" viewBox="0 0 24 24" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        f" icon-{size}" if size else "",
        static("img/icons.svg"),
        name,
    )


@register.filter
def initials(value: object) -> str:
    """Two letters for an avatar or a model's mark: "Jonas Okafor" is JO, "glm-4.6" is GL."""
    words = [word for word in re.split(r"\W+", str(value)) if word]
    if not words:
        return "?"
    second = words[1] if len(words) > 1 and words[1][0].isalpha() else ""
    return (words[0][0] + second[0] if second else words[0][:2]).upper()


@register.filter
def control(field: BoundField) -> SafeString:
    """A form field's widget with our classes; Django adds the ids of hint and error for screen readers."""
    widget = field.field.widget
    attrs: dict[str, Any] = {}
    if isinstance(widget, Select):
        attrs["class"] = "form-select"
    elif isinstance(widget, Textarea):
        # Django's own default is 10 rows of 40 columns; the page decides the width.
        rows = str(widget.attrs.get("rows", "10"))
        attrs |= {"class": "form-control", "rows": "3" if rows == "10" else rows}
    elif isinstance(widget, Input) and widget.input_type in ("checkbox", "radio"):
        attrs["class"] = "form-check-input"
    else:
        attrs["class"] = "form-control"
    if own := widget.attrs.get("class"):
        attrs["class"] += f" {own}"
    shown = field.as_widget(attrs=attrs)
    return shown + field.as_hidden(only_initial=True) if field.field.show_hidden_initial else shown
