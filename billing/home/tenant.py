"""A tenant's money: the last days, the budget of the month, its projects, and keys whose cost changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.costs import FOUR_WEEKS, cost_rows, spend_by_key, today_of, total_spend
from billing.forecast import Forecast, forecast_month
from billing.key_changes import changed_keys
from billing.spend_by_day import spend_by_day
from billing.tenant_months import NEARLY, OfBudget
from core.dates import day
from core.home import Content, Need, Reader, Site, home_block
from core.local_days import ONE_DAY, end_of_month
from tenants.models import ApiKey, Limit, Project, Tenant

MOST_ROWS: Final = 6
# Keys of one person that are summed.
MOST_KEYS: Final = 100
_WEEK: Final = timedelta(days=6)


@dataclass(frozen=True)
class Week:
    """The totals of the last seven days, and the cost of the seven days before."""

    spend: Decimal | None
    before: Decimal | None
    calls: int
    tokens: int
    currency: str


@home_block(
    Site.TENANT,
    order=60,
    permissions=["tenants.view_cost"],
    template="billing/home/_week.html",
    is_aside=True,
)
def week(reader: Reader) -> Content:
    """What the tenant spent in seven days."""
    today = today_of(reader.tenant)
    now_ = total_spend(reader.tenant, today - _WEEK, today)
    before = total_spend(reader.tenant, today - _WEEK - timedelta(days=7), today - timedelta(days=7))
    return Content(Week(now_.cost, before.cost, now_.calls, now_.tokens, reader.tenant.currency))


@dataclass(frozen=True)
class Budget:
    """The month's spend beside the tenant's budget, which may be missing, and when it probably is used up."""

    currency: str
    spent: Decimal
    # Of the same weekdays four weeks earlier.
    before: Decimal
    budget: Decimal | None
    forecast: Forecast | None
    # The day on which the budget is used up, if the month goes on as it does; None: not this month.
    run_out: date | None

    @property
    def is_over(self) -> bool:
        return self.budget is not None and self.spent >= self.budget


@home_block(Site.TENANT, order=20, permissions=["tenants.export_cost"], template="billing/home/_budget.html")
def budget_of_the_month(reader: Reader) -> Content:
    """How much of the month's budget is spent. Two queries: the days since four weeks before the month, the limit."""
    tenant = reader.tenant
    today = today_of(tenant)
    month = today.replace(day=1)
    spend = spend_by_day(tenant, today)
    budget = _limits_of_money(tenant).filter(project=None).values_list("value", flat=True).first()
    spent = _sum_of(spend, month, today)
    forecast = forecast_month(spend, today=today, month_end=end_of_month(month))
    facts = Budget(
        currency=tenant.currency,
        spent=spent,
        before=_sum_of(spend, month - FOUR_WEEKS, today - FOUR_WEEKS),
        budget=budget,
        forecast=forecast,
        run_out=run_out_of(spent, budget, forecast, today),
    )
    return Content(facts, _budget_needs(facts, tenant))


def run_out_of(spent: Decimal, budget: Decimal | None, forecast: Forecast | None, today: date) -> date | None:
    """The day of this month on which the budget is used up, by the forecast; today if it is already.

    None without a budget, without a forecast, or if it lasts.

    Args:
        spent: what the month has cost so far.
        budget: of the month.
        forecast: what the remaining days will cost.
        today: the current day in the tenant's time zone.
    """
    if budget is None:
        return None
    if spent >= budget:
        return today
    for at, more in sorted(forecast.days.items()) if forecast else ():
        spent += more
        if spent >= budget:
            return at
    return None


def _budget_needs(facts: Budget, tenant: Tenant) -> list[Need]:
    if facts.run_out is None:
        return []
    text = (
        _("The budget of this month is used up")
        if facts.is_over
        else _("The budget of this month probably lasts until %(date)s") % {"date": day(facts.run_out)}
    )
    return [
        Need(
            text=text,
            url=reverse("cost", args=[tenant.slug]),
            action=_("See costs"),
            icon_name="coin",
            is_late=facts.is_over,
        )
    ]


def _sum_of(spend: Mapping[date, Decimal], first: date, last: date) -> Decimal:
    return sum((cost for at, cost in spend.items() if first <= at <= last), Decimal(0))


def _limits_of_money(tenant: Tenant) -> Any:
    """Limits of money a month on all models together. Whoever may see costs may see them."""
    limits = Limit.objects.in_tenant(tenant)
    return limits.filter(key=None, model="", kind=Limit.Kind.MONEY_PER_MONTH)


@dataclass(frozen=True, kw_only=True)
class ProjectLine(OfBudget):
    """A project's spend of this month beside its budget, if it has one."""

    name: str
    spent: Decimal | None
    budget: Decimal | None
    url: str


@dataclass(frozen=True)
class Projects:
    """The projects with the most pressing budgets, then the most expensive ones."""

    currency: str
    over: int
    near: int
    with_usage: int
    rows: list[ProjectLine]


@home_block(
    Site.TENANT, order=30, permissions=["tenants.export_cost"], template="billing/home/_projects.html"
)
def projects_of_the_month(reader: Reader) -> Content:
    """Projects over or near their budget first, then by cost. Three queries, whatever the number of projects."""
    tenant = reader.tenant
    today = today_of(tenant)
    month = today.replace(day=1)
    costs = {row["project"]: row["cost"] for row in cost_rows(tenant, month, today, ["project"])}
    limits = _limits_of_money(tenant).filter(project__isnull=False)
    budgets = dict(limits.values_list("project__slug", "value"))
    shares = {slug: (costs.get(slug) or Decimal(0)) / budget for slug, budget in budgets.items()}

    def rank(slug: str) -> tuple[Any, ...]:
        share = shares.get(slug)
        is_near = share is not None and share >= NEARLY
        return (not is_near, -share if is_near and share is not None else 0, -(costs.get(slug) or 0), slug)

    shown = sorted({*costs, *budgets}, key=rank)[:MOST_ROWS]
    names = dict(Project.objects.in_tenant(tenant).filter(slug__in=shown).values_list("slug", "name"))
    page = reverse("cost", args=[tenant.slug])
    facts = Projects(
        currency=tenant.currency,
        over=sum(share >= 1 for share in shares.values()),
        near=sum(NEARLY <= share < 1 for share in shares.values()),
        with_usage=len(costs),
        rows=[
            ProjectLine(
                name=names.get(slug, slug),
                spent=costs[slug] if slug in costs else Decimal(0),
                budget=budgets.get(slug),
                share=shares.get(slug),
                url=f"{page}?{urlencode({'month': f'{month:%Y-%m}', 'project': slug})}",
            )
            for slug in shown
        ],
    )
    return Content(facts)


@dataclass(frozen=True)
class KeyLine:
    """A key with two costs to compare, or with one."""

    name: str
    prefix: str
    project: str
    now: Decimal | None
    before: Decimal | None


@dataclass(frozen=True)
class KeyChanges:
    """The keys whose cost of yesterday differs most from that of the same weekday before."""

    currency: str
    day: date
    rows: list[KeyLine]


@home_block(Site.TENANT, order=40, permissions=["tenants.manage_tenant"], template="billing/home/_keys.html")
def keys_by_change(reader: Reader) -> Content:
    """Two queries; of the sums only two days are read, however long the tenant has been there."""
    tenant = reader.tenant
    yesterday = today_of(tenant) - ONE_DAY
    changes = changed_keys(tenant, yesterday, yesterday - timedelta(days=7), most=MOST_ROWS)
    if not changes:
        return Content()
    keys = ApiKey.objects.in_tenant(tenant).filter(pk__in=[change.key_id for change in changes])
    found = {key.pk: key for key in keys.select_related("project")}
    rows = [
        KeyLine(key.name, key.prefix, key.project.name, change.now, change.before)
        for change in changes
        if (key := found.get(change.key_id)) is not None
    ]
    return Content(KeyChanges(tenant.currency, yesterday, rows))


@dataclass(frozen=True)
class OwnKeys:
    """What the reader's own keys spent in seven days."""

    currency: str
    keys: int
    # There are more, older keys, which are not among them.
    is_more: bool
    spend: Decimal | None
    rows: list[KeyLine]


@home_block(
    Site.TENANT,
    order=50,
    permissions=["tenants.claim_key"],
    template="billing/home/_own_keys.html",
    is_aside=True,
)
def own_keys(reader: Reader) -> Content:
    """The newest MOST_KEYS keys that the reader answers for; no block without any."""
    tenant = reader.tenant
    own = ApiKey.objects.in_tenant(tenant).current().filter(owner=reader.user).select_related("project")
    found = list(own.order_by("-created_at", "pk")[: MOST_KEYS + 1])
    if not found:
        return Content()
    keys = found[:MOST_KEYS]
    today = today_of(tenant)
    spend = spend_by_key(tenant, today - _WEEK, today, [key.pk for key in keys])
    rows = [
        KeyLine(key.name, key.prefix, key.project.name, spend.get(key.pk, Decimal(0)), None) for key in keys
    ]
    rows.sort(key=lambda row: -(row.now or 0))
    priced = [cost for cost in spend.values() if cost is not None]
    total = None if spend and not priced else sum(priced, Decimal(0))
    return Content(OwnKeys(tenant.currency, len(keys), len(found) > len(keys), total, rows[:4]))
