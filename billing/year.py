"""Twelve months of costs, month by month, from the monthly sums."""

from __future__ import annotations

from datetime import date
from typing import Final

from billing.costs import CostPeriod, CostReport, Totals, freshness, today_of
from billing.estimates import Estimated, estimated_usage
from billing.kind_costs import costs_by_kind
from billing.month_sums import named_sums, sums_between
from tenants.models import Project, Tenant

# The value of `month` in a page's address that selects the last twelve months.
YEAR: Final = "last-12"
MONTHS: Final = 12


def months_of_year(today: date) -> list[date]:
    """The first days of the last twelve months, the current one included."""
    last = today.year * 12 + today.month - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(last - MONTHS + 1, last + 1)]


def year_report(tenant: Tenant, *, project: Project | None = None) -> CostReport:
    """The costs of the last twelve months, this one included. Takes five queries, whatever the tenant's size.

    In `now.by_day` and `now.by_day_and_model`, the first day of a month stands for the whole month. The report has no
    comparison.
    """
    today = today_of(tenant)
    start = months_of_year(today)[0]
    span = CostPeriod()
    source, parameters = sums_between(start, today, today=today, project=project)
    for month, model, *numbers in named_sums(
        tenant, "used.month, m.name", "r.month, r.model_id", "billed_model m ON m.id = used.model_id",
        f"{source} r", parameters,
    ):  # fmt: skip
        span.by_day_and_model.setdefault((month, model), Totals()).add(*numbers)
        span.by_day.setdefault(month, Totals()).add(*numbers)
        span.by_model.setdefault(model, Totals()).add(*numbers)
        span.total.add(*numbers)
    for slug, name, *numbers in named_sums(
        tenant, "p.slug, p.name", "r.project_id", "tenants_project p ON p.id = used.project_id",
        f"{source} r", parameters,
    ):  # fmt: skip
        span.by_project.setdefault((slug, name), Totals()).add(*numbers)
    metered_to, final_up_to = freshness(tenant)
    return CostReport(
        tenant, project, start, today, span, CostPeriod(),
        costs_by_kind(tenant, start, today, project, today=today), metered_to, final_up_to,
        estimated_usage(tenant, start, today, project=project).get((), Estimated()),
    )  # fmt: skip
