"""The platform's finance: what tenants spend, whose budget is used up, and what could not be billed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.costs import Totals
from billing.models import BillingPeriod, QuarantinedEvent
from billing.tenant_months import (
    NEARLY,
    OfBudget,
    TenantMonths,
    most_urgent_first,
    sum_by_currency,
    tenant_months,
)
from core.counting import count_of, number_of
from core.dates import month_name
from core.home import Content, Need, Reader, Site, home_block
from core.local_days import ONE_DAY
from core.reading import note_tenant

PAGE_SIZE: Final = 25
# Months that a row shows, the current one included.
MONTHS: Final = 4


@dataclass(frozen=True)
class MonthCell:
    """A month of a tenant, with the link to its cost page.

    `is_open`: the month is over and not closed. `is_ahead`: it has not begun for the tenant.
    """

    month: date
    cost: Decimal | None
    is_open: bool
    is_ahead: bool
    url: str


@dataclass(frozen=True, kw_only=True)
class TenantLine(OfBudget):
    """A tenant with its months, the oldest first, and how much of its budget is spent."""

    name: str
    slug: str
    currency: str
    cells: list[MonthCell]
    # Of the month before the current column and the one before that; None while either is not over.
    last: Decimal | None
    before_last: Decimal | None
    spent: Decimal | None
    budget: Decimal | None
    report_url: str


@dataclass(frozen=True)
class CurrencySum:
    """What all tenants of one currency spent in their current month, and in the month before."""

    currency: str
    spent: Decimal | None
    last_month: Decimal | None


@dataclass(frozen=True)
class Finance:
    """The block of the platform's finance."""

    sums: list[CurrencySum]
    over: int
    near: int
    # Tenants whose last month is not closed yet.
    open_periods: int
    # Calls that are kept for a review, and calls of this month without a price.
    held: int | str
    unpriced: int
    month_labels: list[str]
    # Because of their time zones, not all tenants are in the same month.
    is_between_months: bool
    rows: list[TenantLine]
    term: str
    first: int
    last: int
    total: int
    previous_url: str
    next_url: str

    @property
    def last_month_label(self) -> str:
        return self.month_labels[-2]


@home_block(Site.STAFF, order=15, permissions=["tenants.export_cost"], template="billing/home/_tenants.html")
def tenants_by_month(reader: Reader) -> Content:
    """All tenants, those over their budget first, in pages: `?tenant=<part of a name>&from=<row>`.

    Two statements read sums: one of two months for all tenants, which sorts them, and one of MONTHS for the page.
    """
    everyone = tenant_months()
    begun = {tenant.this_month for tenant in everyone}
    months = _last_months(max(begun, default=now().date()))
    term = reader.request.GET.get("tenant", "").strip()
    chosen = [tenant for tenant in everyone if _matches(tenant, term)]
    ranked = most_urgent_first(chosen)
    start = _start_of(reader.request.GET.get("from", ""), len(ranked))
    shares = [tenant.share_of_budget or Decimal(0) for tenant in everyone]
    over = sum(share >= 1 for share in shares)
    page = ranked[start : start + PAGE_SIZE]
    facts = Finance(
        sums=_sums(everyone),
        over=over,
        near=sum(NEARLY <= share < 1 for share in shares),
        open_periods=sum(tenant.closing_state == BillingPeriod.State.OPEN for tenant in everyone),
        held=count_of(QuarantinedEvent.objects.across_tenants()),
        unpriced=sum(tenant.by_month.get(tenant.this_month, Totals()).unpriced_calls for tenant in everyone),
        month_labels=[month_name(month) for month in months],
        is_between_months=len(begun) > 1,
        rows=_lines(page, months),
        term=term,
        first=start + 1 if page else 0,
        last=start + len(page),
        total=len(ranked),
        previous_url=_page_url(term, start - PAGE_SIZE) if start else "",
        next_url=_page_url(term, start + PAGE_SIZE) if start + PAGE_SIZE < len(ranked) else "",
    )
    return Content(facts, _over_budget(everyone, over))


def _over_budget(everyone: Sequence[TenantMonths], over: int) -> list[Need]:
    if not over:
        return []
    first = most_urgent_first(everyone)[0]
    note_tenant(first.pk)
    text = ngettext("%(n)d tenant is over its budget", "%(n)d tenants are over their budgets", over)
    return [
        Need(
            text=text % {"n": over},
            note=_("the furthest: %(tenant)s") % {"tenant": first.name},
            url=reverse("cost", args=[first.slug]),
            action=_("See its costs"),
            icon_name="coin",
            is_late=True,
        )
    ]


def _lines(page: Sequence[TenantMonths], months: list[date]) -> list[TenantLine]:
    if not page:
        return []
    places = {tenant.pk: place for place, tenant in enumerate(page)}
    for tenant in page:
        note_tenant(tenant.pk)
    found = tenant_months(months, tenants=list(places))
    periods = BillingPeriod.objects.across_tenants().filter(
        tenant__in=list(places), month__in=months, state=BillingPeriod.State.OPEN
    )
    is_open = set(periods.values_list("tenant_id", "month"))
    return [
        _line(tenant, months, {month for pk, month in is_open if pk == tenant.pk})
        for tenant in sorted(found, key=lambda tenant: places[tenant.pk])
    ]


def _line(tenant: TenantMonths, months: list[date], is_open: set[date]) -> TenantLine:
    is_over = months[-2] < tenant.this_month
    return TenantLine(
        name=tenant.name,
        slug=tenant.slug,
        currency=tenant.currency,
        cells=[
            MonthCell(
                month=month,
                cost=tenant.cost(month),
                is_open=month < tenant.this_month and month in is_open,
                is_ahead=month > tenant.this_month,
                url=f"{reverse('cost', args=[tenant.slug])}?month={month:%Y-%m}",
            )
            for month in months
        ],
        last=tenant.cost(months[-2]) if is_over else None,
        before_last=tenant.cost(months[-3]) if is_over else None,
        spent=tenant.cost(tenant.this_month),
        budget=tenant.budget,
        share=tenant.share_of_budget,
        report_url=f"{reverse('export-new', args=[tenant.slug])}?month={tenant.last_month:%Y-%m}",
    )


def _sums(everyone: Sequence[TenantMonths]) -> list[CurrencySum]:
    now_ = sum_by_currency(everyone, lambda tenant: tenant.this_month)
    before = sum_by_currency(everyone, lambda tenant: tenant.last_month)
    return [
        CurrencySum(currency, now_.get(currency, Totals()).cost, before.get(currency, Totals()).cost)
        for currency in [*now_, *(currency for currency in before if currency not in now_)]
    ]


def _last_months(today: date) -> list[date]:
    """First days of the last months, the oldest first."""
    months = [today.replace(day=1)]
    while len(months) < MONTHS:
        months.insert(0, (months[0] - ONE_DAY).replace(day=1))
    return months


def _matches(tenant: Any, term: str) -> bool:
    return term.casefold() in tenant.name.casefold() or term.casefold() in tenant.slug


def _start_of(text: str, total: int) -> int:
    """The first row of the page; the first page for anything that is no row."""
    start = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return start if start < total else 0


def _page_url(term: str, start: int) -> str:
    said = {"tenant": term, "from": max(start, 0)}
    return f"?{urlencode({name: value for name, value in said.items() if value})}#h-tenants"


@home_block(Site.STAFF, order=45, permissions=["billing.view_quarantinedevent"])
def calls_not_billed(reader: Reader) -> Content:
    """Calls that the ledger could not bill and keeps for a review."""
    held = count_of(QuarantinedEvent.objects.visible_to(reader.user))
    if not held:
        return Content()
    text = ngettext("%(n)s call could not be billed", "%(n)s calls could not be billed", number_of(held))
    need = Need(
        text=text % {"n": held},
        url=reverse("admin:billing_quarantinedevent_changelist"),
        action=_("Look"),
        icon_name="coin",
    )
    return Content(needs=[need])
