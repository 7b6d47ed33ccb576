"""The cost chart as a Plotly figure. static/qm/js/charts.js styles each trace by its `meta`.

Nothing computes with the chart's numbers, so they are floats rounded to cents. The hover texts are written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.costs import FOUR_WEEKS, CostReport, Totals
from billing.forecast import Forecast
from core.dates import chart_day_format, chart_month_format, chart_words, day_of_year, month_name
from core.templatetags.qm import SYMBOLS, money, tokens

# Number of models with their own color; the others are "Other".
SERIES: Final = 5
_SHORTENED: Final = 10_000


def ranked_models(by_model: Mapping[str, Totals]) -> list[tuple[str, Totals, int]]:
    """Models, most expensive first, each with its color from 1 to 6. All models after the fifth share color 6."""
    ranked = sorted(by_model.items(), key=lambda item: (-(item[1].cost or 0), item[0]))
    return [(name, figures, min(rank, SERIES + 1)) for rank, (name, figures) in enumerate(ranked, start=1)]


def cost_figure(report: CostReport, *, last_day: date, forecast: Forecast | None) -> dict[str, Any]:
    """Stacked bars of cost by day and model, a line for the same weekdays four weeks earlier, and the forecast."""
    days = _days(report.start_day, last_day)
    done = _days(report.start_day, report.end_day)
    currency = report.currency
    figure = go.Figure()
    for name, color, costs in _series(report, done):
        figure.add_trace(go.Bar(
            name=name, x=_x(done), y=_y(costs), customdata=_texts(costs, currency), hovertemplate=_HOVER,
            meta={"role": "part", "color": f"c{color}", "mode": "daily"},
        ))  # fmt: skip
    totals = [_cost(report.now.by_day.get(day)) for day in done]
    figure.add_trace(go.Scatter(
        name=_("Total"), x=_x(done), y=_y(totals), customdata=_texts(totals, currency), hovertemplate=_HOVER,
        meta={"role": "total", "mode": "daily"},
    ))  # fmt: skip
    if forecast:
        expected = list(forecast.days.values())
        figure.add_trace(go.Bar(
            name=_("Forecast"), x=_x(forecast.days), y=_y(expected), customdata=_texts(expected, currency),
            hovertemplate=_HOVER, meta={"role": "forecast", "mode": "daily"},
        ))  # fmt: skip
    before = [_cost(report.before.by_day.get(day - FOUR_WEEKS)) for day in done]
    if report.has_comparison:
        figure.add_trace(go.Scatter(
            name=_("4 weeks earlier"), x=_x(done), y=_y(before), customdata=_texts(before, currency),
            hovertemplate=_HOVER, meta={"role": "previous", "mode": "daily"},
        ))  # fmt: skip
    _add_cumulative(figure, report, done, totals, before, forecast)
    layout = _layout(days, report.end_day if forecast else None, currency)
    highest = {"daily": max([*totals, *before], default=Decimal(0)), "cumulative": sum(totals, Decimal(0))}
    layout["meta"]["modes"] = {
        mode: {"yaxis": _amount_ticks(cost, currency)} for mode, cost in highest.items()
    }
    figure.update_layout(template=None, **layout)
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return drawn


def year_figure(report: CostReport, months: Sequence[date]) -> dict[str, Any]:
    """Stacked bars of cost by month and model, from a report whose days are months."""
    figure = go.Figure()
    for name, color, costs in _series(report, months):
        figure.add_trace(go.Bar(
            name=name, x=_x(months), y=_y(costs), customdata=_texts(costs, report.currency), hovertemplate=_HOVER,
            meta={"role": "part", "color": f"c{color}", "mode": "daily"},
        ))  # fmt: skip
    totals = [_cost(report.now.by_day.get(month)) for month in months]
    figure.add_trace(go.Scatter(
        name=_("Total"), x=_x(months), y=_y(totals), customdata=_texts(totals, report.currency), hovertemplate=_HOVER,
        meta={"role": "total", "mode": "daily"},
    ))  # fmt: skip

    def ticks(shown: Sequence[date]) -> dict[str, Any]:
        texts = [month_name(month, with_year=n == 0 or month.month == 1) for n, month in enumerate(shown)]
        return {"tickvals": [f"{month}T12:00" for month in shown], "ticktext": texts}

    half = timedelta(days=16)
    layout = _layout([months[0] - half, months[-1] + half], None, report.currency)
    layout["xaxis"] |= {"unifiedhovertitle": _hovered(chart_month_format()), **ticks(months)}
    layout["meta"]["narrow"] = {"xaxis": ticks(months[1::4])}
    layout["meta"]["modes"] = {
        "daily": {"yaxis": _amount_ticks(max(totals, default=Decimal(0)), report.currency)}
    }
    figure.update_layout(template=None, **layout)
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return drawn


_HOVER: Final = "%{fullData.name}  %{customdata}<extra></extra>"


def _add_cumulative(
    figure: go.Figure,
    report: CostReport,
    done: Sequence[date],
    totals: Sequence[Decimal],
    before: Sequence[Decimal],
    forecast: Forecast | None,
) -> None:
    lines = [(_("Spend"), "line", list(done), _running(totals))]
    if report.has_comparison:
        lines.append((_("4 weeks earlier"), "previous", list(done), _running(before)))
    if forecast:
        spent = sum(totals, Decimal(0))
        ahead = _running(list(forecast.days.values()))
        lines.append((_("Forecast"), "expected", list(forecast.days), [spent + extra for extra in ahead]))
    for name, role, x, y in lines:
        figure.add_trace(go.Scatter(
            name=name, x=_x(x), y=_y(y), customdata=_texts(y, report.currency), hovertemplate=_HOVER,
            meta={"role": role, "color": "c1", "mode": "cumulative"},
        ))  # fmt: skip


def _series(report: CostReport, days: Sequence[date]) -> list[tuple[str, int, list[Decimal]]]:
    """The five most expensive models, and the others together. The largest comes first, at the bottom of the bars."""
    ranked = ranked_models(report.now.by_model)
    named = [(name, color, [name]) for name, _figures, color in ranked if color <= SERIES]
    if others := [name for name, _figures, color in ranked if color > SERIES]:
        label = ngettext("Other, %(count)d model", "Other, %(count)d models", len(others))
        named.append((label % {"count": len(others)}, SERIES + 1, others))
    cells = report.now.by_day_and_model
    return [
        (label, color, [sum((_cost(cells.get((day, name))) for name in names), Decimal(0)) for day in days])
        for label, color, names in named
    ]


def _layout(days: Sequence[date], today: date | None, currency: str) -> dict[str, Any]:
    def ticks(shown: Sequence[date]) -> dict[str, Any]:
        texts = [day_of_year(day) if n == 0 or day.day == 1 else str(day.day) for n, day in enumerate(shown)]
        return {"tickvals": [f"{day}T12:00" for day in shown], "ticktext": texts}

    symbol = SYMBOLS.get(currency)
    unit: dict[str, Any] = {"tickprefix": symbol} if symbol else {"ticksuffix": f" {currency}"}
    layout: dict[str, Any] = {
        "xaxis": {
            "range": [f"{days[0]}T00:00", f"{days[-1]}T23:59"],
            "unifiedhovertitle": _hovered(chart_day_format()),
            **ticks(days[::2]),
        },
        "yaxis": unit,
        "meta": {"narrow": {"xaxis": ticks(days[1::7])}, "words": chart_words()},
    }
    if today:
        # Nothing is drawn beyond the chart: the word over the last day ends with it, as its bar does.
        is_last = days[-1] == today
        at = f"{today}T23:59" if is_last else f"{today}T12:00"
        layout["annotations"] = [
            {"x": at, "yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 2, "text": _("Today"),
             "xanchor": "right" if is_last else "center", "showarrow": False}
        ]  # fmt: skip
    return layout


def _hovered(pattern: str) -> dict[str, str]:
    """The date above what the pointer is on; a format of the axis would give way to the text of a tick, "11"."""
    return {"text": f"%{{x|{pattern}}}"}


def _amount_ticks(highest: Decimal, currency: str) -> dict[str, Any]:
    """Cents for small amounts, whole units for medium ones; large ones as the language shortens them: 20K, 2 万."""
    if highest < _SHORTENED:
        return {"tickformat": ",.2f" if highest < 10 else ",.0f"}
    power = Decimal(10) ** (highest / 5).adjusted()
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= highest / 5)
    # A forecast may be higher than what was spent so far.
    amounts = [step * n for n in range(16)]
    symbol = SYMBOLS.get(currency)
    texts = [f"{symbol}{tokens(one)}" if symbol else f"{tokens(one)} {currency}" for one in amounts]
    return {"tickmode": "array", "tickvals": [int(one) for one in amounts], "ticktext": texts}


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _cost(figures: Totals | None) -> Decimal:
    return (figures.cost if figures else None) or Decimal(0)


def _running(costs: Sequence[Decimal]) -> list[Decimal]:
    total, running = Decimal(0), []
    for cost in costs:
        total += cost
        running.append(total)
    return running


def _x(days: Any) -> list[str]:
    return [f"{day}T12:00" for day in days]


def _y(costs: Sequence[Decimal]) -> list[float]:
    return [float(round(cost, 4)) for cost in costs]


def _texts(costs: Sequence[Decimal], currency: str) -> list[str]:
    return [money(cost, currency) for cost in costs]
