"""The parts of a report that the cost page's tiles and tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.charts import ranked_models
from billing.costs import CostReport, Totals
from billing.kind_costs import KindCost
from billing.kinds import Kind
from billing.known_kinds import kind_named, words_of
from core.templatetags.qm import share

# Most rows in a table, apart from the row that sums up the others.
MOST_ROWS: Final = 25


@dataclass
class NowAndBefore:
    """A number beside that of the same weekdays four weeks earlier. `before` None: there is no comparison."""

    now: Decimal | int | None
    before: Decimal | int | None


@dataclass(frozen=True)
class CostFigures:
    """The figures at the top of the cost page."""

    currency: str
    spend: NowAndBefore
    unit: NowAndBefore
    token_count: NowAndBefore
    calls: int
    estimated: Any
    has_comparison: bool
    unpriced: list[dict[str, Any]]
    metered_to: datetime | None
    final_to: date | None
    is_empty: bool


def figures_of(report: CostReport) -> CostFigures:
    now = report.now.total
    nothing = Totals(cost=None)
    before = report.before.total if report.has_comparison else nothing
    return CostFigures(
        currency=report.currency,
        spend=NowAndBefore(now.cost, before.cost),
        unit=NowAndBefore(now.unit_cost, before.unit_cost),
        token_count=NowAndBefore(now.tokens, before.tokens if report.has_comparison else None),
        calls=now.calls,
        estimated=report.estimated,
        has_comparison=report.has_comparison,
        unpriced=[{"model": model, "calls": calls} for model, calls in report.unpriced],
        metered_to=report.metered_to,
        final_to=report.final_up_to,
        is_empty=not now.calls,
    )


def _in_units(kind: KindCost) -> int:
    """A kind's quantity in whole units, such as seconds if it counts milliseconds."""
    known = kind_named(kind.kind)
    return kind.quantity // known.scale if known else kind.quantity


def dearest(by_project: Mapping[tuple[str, str], Totals]) -> list[tuple[tuple[str, str], Totals]]:
    """Projects (slug, name) with their figures, most expensive first."""
    return sorted(by_project.items(), key=lambda item: (-(item[1].cost or 0), item[0]))


@dataclass(frozen=True)
class CostTables:
    """The rows of the page's tables."""

    model_rows: list[dict[str, Any]]
    model_total: dict[str, Any]
    project_rows: list[dict[str, Any]]
    kind_rows: list[dict[str, Any]]
    cache_note: str | None


def tables_of(report: CostReport, project_address: Any, other_projects: str) -> CostTables:
    """The rows of the page's tables: the most expensive ones, then the others as one row, so the sums stay right."""

    def others(
        rest: list[tuple[Totals, Totals | None]], label: Callable[[int], str], **also: Any
    ) -> list[dict[str, Any]]:
        if not rest:
            return []
        total, before = Totals(cost=None), Totals()
        for now_, then in rest:
            total = total.plus(now_)
            before = before.plus(then or Totals())
        return [{"label": label(len(rest)) % {"count": len(rest)}, "url": None, **also, **row(total, before)}]

    def row(figures: Totals, before: Totals | None) -> dict[str, Any]:
        compared = (before or Totals()).cost if report.has_comparison else None
        return {
            "cost": figures.cost,
            "before": compared,
            "tokens": figures.tokens,
            "unit_cost": figures.unit_cost,
        }

    projects = dearest(report.now.by_project)
    models = ranked_models(report.now.by_model)
    read = sum(kind.quantity for kind in report.by_kind if kind.kind == Kind.CACHE_READ)
    all_input = read + sum(kind.quantity for kind in report.by_kind if kind.kind == Kind.INPUT)
    return CostTables(
        model_rows=[
            {"label": name, "color": color, "url": None, **row(figures, report.before.by_model.get(name))}
            for name, figures, color in models[:MOST_ROWS]
        ]
        + others(
            [(figures, report.before.by_model.get(name)) for name, figures, _color in models[MOST_ROWS:]],
            lambda n: ngettext("Other, %(count)d model", "Other, %(count)d models", n),
            color=6,
        ),
        model_total=row(report.now.total, report.before.total),
        project_rows=[
            {
                "label": name,
                "url": project_address(slug),
                **row(figures, report.before.by_project.get((slug, name))),
            }
            for (slug, name), figures in projects[:MOST_ROWS]
        ]
        + others(
            [(figures, report.before.by_project.get(place)) for place, figures in projects[MOST_ROWS:]],
            lambda n: ngettext("Other, %(count)d project", "Other, %(count)d projects", n),
            url=other_projects,
        ),
        kind_rows=[
            {"label": words_of(kind.kind), "quantity": _in_units(kind), "cost": kind.cost}
            for kind in report.by_kind
        ],
        cache_note=_("The cache served %(share)s of input.") % {"share": share(read, all_input)}
        if read
        else None,
    )
