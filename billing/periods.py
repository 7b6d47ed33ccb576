"""Posting cost lines, and closing a tenant's month."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction
from django.utils.formats import date_format
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from billing.costs import today_of
from billing.detail_sql import DETAIL
from billing.models import BillingPeriod, CostLine, UnpostedDay
from core.errors import Conflict
from core.local_days import end_of_month
from tenants.models import Tenant

# The rollups' costs minus the posted costs, per project, SKU, price and day. The reference counts the existing lines,
# so two concurrent posters write the same reference, and one of them finds it taken. Both sides are summed together: in
# a join, the planner expects one row on each side and compares each row with each, 90,000 in a large month.
POST: Final = f"""
WITH {DETAIL}, wanted AS (
    SELECT project_id, sku_id, price_id, day, per_million, sum(quantity)::bigint AS quantity
      FROM detail WHERE quantity <> 0
     GROUP BY project_id, sku_id, price_id, day, per_million
), sides AS (
    SELECT project_id, sku_id, price_id, day, per_million, quantity, 0 AS lines FROM wanted
     UNION ALL
    SELECT project_id, sku_id, price_id, day, NULL, -quantity, 1
      FROM cost_line
     WHERE tenant_id = %(tenant)s AND period = %(period)s AND day BETWEEN %(first_day)s AND %(last_day)s
       AND reverses_id IS NULL
), due AS (
    SELECT project_id, sku_id, price_id, day, max(per_million) AS per_million, sum(quantity)::bigint AS missing,
           sum(lines) + 1 AS line
      FROM sides
     GROUP BY project_id, sku_id, price_id, day
    HAVING count(per_million) > 0
)
INSERT INTO cost_line (id, period, tenant_id, project_id, sku_id, price_id, day, quantity, per_million, amount,
                       source_ref, posted_at)
SELECT gen_random_uuid(), %(period)s, %(tenant)s, project_id, sku_id, price_id, day, missing, per_million,
       missing * per_million * 0.000001,
       concat_ws('/', 'usage', %(period)s::date, project_id, price_id, day, line), now()
  FROM due WHERE missing <> 0
ON CONFLICT (source_ref) DO NOTHING
"""  # noqa: S608


def post_cost_lines(tenant: Tenant, *, before: date | None = None) -> int:
    """Post the costs of days before `before` that the rollups have and the lines lack; return the number of lines.

    `before` defaults to the tenant's current day, so only finished days are posted. Reads only days whose usage changed
    after they were posted (UnpostedDay), however many months are open. Late usage adds lines to the earlier ones. Safe
    to repeat: the second time there is nothing to post.
    """
    before = before or today_of(tenant)
    changed = UnpostedDay.objects.in_tenant(tenant).filter(day__lt=before)
    posted = 0
    for month in sorted(set(changed.values_list("period", flat=True))):
        with transaction.atomic():
            _advisory_lock(tenant)
            # Lock before reading the rollups: usage in progress either commits first or comes afterwards.
            days = changed.filter(period=month).order_by("day").select_for_update()
            if found := list(days.values_list("day", flat=True)):
                posted += _post(tenant, month, found[0], found[-1])
                changed.filter(period=month, day__in=found).delete()
    _note_posted(tenant, before)
    return posted


def _note_posted(tenant: Tenant, before: date) -> None:
    """Store on each open period the last posted day. Updates one period at a time and holds no other lock, because
    recording usage locks periods as well."""
    yesterday = before - timedelta(days=1)
    for period in BillingPeriod.objects.in_tenant(tenant).filter(state="open").order_by("month"):
        done = min(yesterday, end_of_month(period.month))
        if period.posted_up_to is None or period.posted_up_to < done:
            BillingPeriod.objects.in_tenant(tenant).filter(pk=period.pk, state="open").exclude(
                posted_up_to__gte=done
            ).update(posted_up_to=done)


def tenants_to_post() -> list[Tenant]:
    """Tenants with finished days whose usage changed, or whose open periods do not yet show them as posted."""
    todays = {tenant.pk: today_of(tenant) for tenant in Tenant.objects.only("pk", "timezone")}
    changed = UnpostedDay.objects.across_tenants().filter(day__lt=max(todays.values(), default=date.min))
    due = {pk for pk, day in changed.values_list("tenant_id", "day").iterator() if day < todays[pk]}
    open_periods = BillingPeriod.objects.across_tenants().filter(state="open")
    for pk, month, posted in open_periods.values_list("tenant_id", "month", "posted_up_to").iterator():
        done = min(todays[pk] - timedelta(days=1), end_of_month(month))
        if done >= month and (posted is None or posted < done):
            due.add(pk)
    return list(Tenant.objects.filter(pk__in=due).order_by("pk"))


@transaction.atomic
def close_period(tenant: Tenant, month: date, *, by: User | None) -> BillingPeriod:
    """Post missing cost lines, freeze the totals with their SHA-256, and close the period to further usage.

    Usage that arrives later is posted to the oldest open later period, at the price of its own hour.

    Raises:
        BillingPeriod.DoesNotExist: the tenant has no such period.
        Conflict: the period is already closed, or the month is not over.
    """
    _advisory_lock(tenant)
    period = BillingPeriod.objects.in_tenant(tenant).select_for_update(of=("self",)).get(month=month)
    if period.state == BillingPeriod.State.CLOSED:
        raise Conflict(_("%(period)s is already closed.") % {"period": period})
    if today_of(tenant) <= end_of_month(month):
        message = _("%(month)s is not over yet. You can close it from the first of the next month on.")
        raise Conflict(message % {"month": date_format(month, "F Y")})
    _post(tenant, month, date.min, date.max)
    UnpostedDay.objects.in_tenant(tenant).filter(period=month).delete()
    lines = CostLine.objects.in_tenant(tenant).filter(period=month).order_by("source_ref")
    digest, total, count = hashlib.sha256(), Decimal(0), 0
    for reference, quantity, amount in lines.values_list("source_ref", "quantity", "amount").iterator():
        digest.update(f"{reference}\t{quantity}\t{amount:f}\n".encode())
        total, count = total + amount, count + 1
    period.state, period.closed_at = BillingPeriod.State.CLOSED, now()
    period.total, period.lines, period.sha256 = total, count, digest.hexdigest()
    period.posted_up_to = end_of_month(month)
    period.save()
    audit.record(
        "billing_period.closed", actor=by, subject=period, total=total, lines=count, sha256=period.sha256
    )
    return period


def _advisory_lock(tenant: Tenant) -> None:
    """Let only one process at a time post or close for a tenant. Always call this before locking a period."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cost lines'), hashtext(%s))", [str(tenant.pk)])


def _post(tenant: Tenant, month: date, first_day: date, last_day: date) -> int:
    with connection.cursor() as cursor:
        days = {"period": month, "first_day": first_day, "last_day": last_day}
        cursor.execute(POST, {"tenant": tenant.pk, "project": None, **days})
        return int(cursor.rowcount)
