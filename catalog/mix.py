"""A mix of tokens: which share is input, and which share of the input comes from a cache. Prices are compared by it.

A tenant's or a project's own mix is that of its calls of this month and the last, from the monthly sums: a few rows,
however many calls there were. Without calls the mix is 75 % input, none of it from a cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db.models import DecimalField, F, Func, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from billing.costs import today_of
from billing.kinds import Kind
from billing.known_kinds import quantities_of
from billing.models import RollupMonth, RollupTenantMonth
from core.dates import day_and_year
from core.local_days import ONE_DAY
from tenants.models import Project, Tenant

# Eight decimals of a price, and four of a share.
PRICE: Final = DecimalField(max_digits=30, decimal_places=12)
_CACHED: Final = (Kind.CACHE_READ,)
_INPUT: Final = (Kind.INPUT, Kind.CACHE_READ, Kind.CACHE_WRITE, Kind.CACHE_WRITE_1H)
_OUTPUT: Final = (Kind.OUTPUT, Kind.REASONING)


@dataclass(frozen=True)
class Mix:
    """Whole percents: `input` of all tokens, and `cached` of the input."""

    input: int = 75
    cached: int = 0
    # The first day of the calls that it is the mix of; None: assumed, or given.
    since: date | None = None

    @property
    def shares(self) -> tuple[Decimal, Decimal, Decimal]:
        """The shares of uncached input, cached input and output. Exact, and 1 together."""
        cached = Decimal(self.input * self.cached) / 10_000
        return Decimal(self.input) / 100 - cached, cached, Decimal(100 - self.input) / 100

    def price(self) -> Combinable:
        """SQL for a model's list price of a million tokens of this mix; null without a price of input.

        A kind without a price of its own costs what input costs, as in billing.
        """
        of_input = F("list_input_price")
        columns: tuple[Any, ...] = (
            of_input,
            Coalesce("list_cache_price", of_input),
            Coalesce("list_output_price", of_input),
        )
        parts = [column * Value(share, PRICE) for column, share in zip(columns, self.shares, strict=True)]
        return _Sum(*parts, output_field=PRICE)

    def price_of(self, prices: dict[str, Decimal]) -> Decimal | None:
        """The same from a list of prices by kind; None without a price of input."""
        if Kind.INPUT not in prices:
            return None
        of_input = prices[Kind.INPUT]
        columns = (of_input, prices.get(Kind.CACHE_READ, of_input), prices.get(Kind.OUTPUT, of_input))
        return sum((one * share for one, share in zip(columns, self.shares, strict=True)), Decimal(0))

    @property
    def source(self) -> str:
        """Where the mix comes from, as a sentence."""
        if self.since is None:
            return _("Assumed, because there are no calls yet to take it from.")
        return _("As in your calls since %(day)s.") % {"day": day_and_year(self.since)}


class _Sum(Func):
    arg_joiner = " + "
    template = "(%(expressions)s)"


def own_mix(tenant: Tenant, project: Project | None = None) -> Mix:
    """The mix of the calls of a project, or of the whole tenant, in this month and the last. One query."""
    this_month = today_of(tenant).replace(day=1)
    since = (this_month - ONE_DAY).replace(day=1)
    sums: Any = RollupMonth.objects if project else RollupTenantMonth.objects
    rows = sums.in_tenant(tenant).filter(month__gte=since)
    if project:
        rows = rows.filter(project=project)
    counts: dict[str, int] = {}
    for packed in rows.values_list("usage", flat=True):
        for kind, count in quantities_of(f"{packed:f}").items():
            counts[kind] = counts.get(kind, 0) + count
    cached, given, made = (sum(counts.get(kind, 0) for kind in kinds) for kinds in (_CACHED, _INPUT, _OUTPUT))
    if not given + made:
        return Mix()
    return Mix(round(100 * given / (given + made)), round(100 * cached / given) if given else 0, since)
