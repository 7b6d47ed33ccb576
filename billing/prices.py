"""Publishing prices and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from billing.folding import fold_rollups
from billing.kinds import FALLBACKS, Kind
from billing.known_kinds import all_kinds, kind_named
from billing.models import BilledModel, Price
from billing.signals import prices_published
from core.ids import uuid7
from tenants.revision import raise_revision

HOUR: Final = timedelta(hours=1)
# Allowed price range per million. A price per token entered into a field per million falls below it; a price per
# million entered into a field per token (and multiplied) lies above it. Zero means free and is allowed.
LEAST_PER_MILLION: Final = Decimal("0.0001")
MOST_PER_MILLION: Final = Decimal(100_000)
# Of kinds that are no tokens, such as calls or images. Equals 10 for each.
MOST_PER_MILLION_OTHERS: Final = Decimal(10_000_000)


@dataclass
class PriceBookReport:
    """The result of publishing: numbers of prices, and rejected models with the reason."""

    first: int = 0
    changed: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Estimate:
    """A month's expected cost, with its likely range."""

    amount: Decimal
    low: Decimal
    high: Decimal
    currency: str


class _Wanted(NamedTuple):
    model: str
    kind: str
    per_million: Decimal
    same_as: str | None


@action(NoneType, permission="billing.publish_price")
def publish_prices(
    model_name: str,
    per_million: Mapping[str, Decimal],
    *,
    valid_from: datetime,
    currency: str = "USD",
    reason: str,
    by: User | None,
) -> PriceBookReport:
    """Make `per_million`, in `currency`, the price list of `model_name` from `valid_from` (a whole hour) on.

    Safe to repeat. The audit log keeps the `reason`.

    Kinds that the list does not name are withdrawn, except those that fall back to a wider kind: cache reads and
    writes cost as much as input, reasoning as much as output. `by` None means the platform (an import).

    Raises:
        PermissionDenied: `by` may not publish prices.
        ValidationError: a price is outside the allowed range, `valid_from` is not a whole hour, or usage (or a later
            price) prevents it; the message gives the earliest possible time.
    """
    publish_prices.require(by, None)
    if valid_from != hour_of(valid_from):
        raise ValidationError(_("Prices begin at a whole hour (UTC)."))
    if problem := what_is_wrong_with(per_million):
        raise ValidationError(problem)
    with transaction.atomic():
        before, currency_before = published_list(valid_from, model_name)
        report, latest = _publish(
            {model_name: per_million}, first_from=valid_from, change_from=valid_from, currency=currency,
            reason=reason, by=by,
        )  # fmt: skip
        if latest and latest > valid_from:
            message = _(
                "%(model)s has usage or prices until %(latest)s UTC. Publish from that hour on, or later."
            )
            raise ValidationError(message % {"model": model_name, "latest": f"{latest:%Y-%m-%d %H:%M}"})
        if report.first or report.changed or report.withdrawn:
            audit.record(
                "prices.published",
                actor=by,
                subject=BilledModel.objects.get(name=model_name),
                valid_from=valid_from.isoformat(),
                currency=currency,
                currency_before=currency_before,
                per_million=dict(per_million),
                changes=audit.difference(
                    before,
                    {kind: f"{price.normalize():f}" for kind, price in per_million.items()},
                    sorted({*before, *per_million}),
                ),
                reason=reason,
            )
            raise_revision(routing=True)
    return report


def published_list(moment: datetime, model_name: str) -> tuple[dict[str, str], str]:
    """A model's own prices at a moment, without those copied from another kind, and their currency; "" without any."""
    prices = Price.objects.filter(sku__model__name=model_name, valid__contains=moment, same_as=None)
    rows = prices.values_list("sku__kind", "per_million", "currency")
    currencies = {currency for *_, currency in rows}
    return {kind: f"{price.normalize():f}" for kind, price, _ in rows}, currencies.pop() if currencies else ""


def publish_price_book(
    entries: Iterable[tuple[str, Mapping[str, Decimal]]],
    *,
    valid_from: datetime | None = None,
    currency: str = "USD",
    reason: str,
    by: User | None = None,
) -> PriceBookReport:
    """Publish the price lists of many models, `entries` of (public name, money per million by kind). Safe to repeat.

    Prices are in `currency`, and the audit log keeps the `reason`. `by` None means the platform.

    A model's first prices apply from `valid_from` on (rounded down to the hour; default: the next hour). Changed
    prices end at the next hour, when their next version begins; other prices stay unchanged. If usage is already
    priced, a price begins after it. A model with any price outside the allowed range is rejected as a whole and
    reported.
    """
    publish_prices.require(by, None)
    next_hour = hour_of(now()) + HOUR
    report = PriceBookReport()
    accepted: dict[str, Mapping[str, Decimal]] = {}
    for name, per_million in entries:
        if problem := what_is_wrong_with(per_million):
            report.refused.append((name, problem))
        else:
            accepted[name] = per_million
    if not accepted:
        return report
    with transaction.atomic():
        published, _latest = _publish(
            accepted, first_from=hour_of(valid_from) if valid_from else next_hour, change_from=next_hour,
            currency=currency, reason=reason, by=by,
        )  # fmt: skip
        published.refused = report.refused
        if published.first or published.changed or published.withdrawn:
            audit.record(
                "price_book.published",
                actor=by,
                subject=Price.objects.latest("created_at"),
                reason=reason,
                models=len(accepted),
                first=published.first,
                changed=published.changed,
                withdrawn=published.withdrawn,
            )
            raise_revision(routing=True)
    return published


def lock_prices() -> None:
    """Prevent publishing until the caller's transaction ends, so that prices it reads stay valid. The lock is shared:
    several transactions may hold it, and publishing waits for all of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('billing.prices'))")


def what_is_wrong_with(per_million: Mapping[str, Decimal]) -> str | None:
    """A sentence that says why this price list cannot be published; None if it can."""
    for kind, price in per_million.items():
        known = kind_named(kind)
        if known is None or not known.is_known:
            names = ", ".join(one.name for one in all_kinds() if one.is_known)
            message = _("%(kind)s is not a kind of usage. The kinds are %(kinds)s.")
            return message % {"kind": repr(kind), "kinds": names}
        if not isinstance(price, Decimal) or not price.is_finite():
            message = _("The %(kind)s price %(price)s is not a decimal number.")
            return message % {"kind": kind, "price": repr(price)}
        most = MOST_PER_MILLION if known.is_token else MOST_PER_MILLION_OTHERS
        if price and not LEAST_PER_MILLION <= price <= most:
            message = _(
                "The %(kind)s price %(price)s is outside %(least)s to %(most)s per million. Prices are per million, "
                "not per token."
            )
            bounds = {"least": f"{LEAST_PER_MILLION:f}", "most": f"{most:f}"}
            return message % {"kind": kind, "price": f"{price:f}", **bounds}
        if price != round(price, 8):
            message = _("The %(kind)s price %(price)s has more than 8 decimals.")
            return message % {"kind": kind, "price": f"{price:f}"}
    return None


def hour_of(moment: datetime) -> datetime:
    """The start of the hour that contains `moment`."""
    return moment.replace(minute=0, second=0, microsecond=0)


def current_prices(model_names: Iterable[str]) -> dict[str, dict[str, Decimal]]:
    """Current money per million, by model and kind. Models without prices are absent. Takes one query."""
    prices: dict[str, dict[str, Decimal]] = {}
    rows = Price.objects.in_force().filter(sku__model__name__in=list(model_names))
    for name, kind, per_million in rows.values_list("sku__model__name", "sku__kind", "per_million"):
        prices.setdefault(name, {})[kind] = per_million
    return prices


def estimate_monthly_cost(
    model_name: str, tokens_per_day: int, *, input_share: Decimal = Decimal("0.75")
) -> Estimate | None:
    """What 30 days of `tokens_per_day` would cost at the highest published prices; None if there is no price.

    Current and future prices count, because an import changes prices from the next hour on. The result is also None
    if the model's price is going to end. If a future price is in another currency, the estimate uses that currency.

    Rule: `input_share` of the tokens is uncached input, the rest output. The likely range is the cost of the same
    tokens with 90 % and with 50 % of them input. A model without an output price (embeddings) has input only.
    """
    lists = _published_lists(model_name)
    if not all(Kind.INPUT in prices for prices in lists):
        return None
    millions = Decimal(tokens_per_day) * 30 / 1_000_000

    def estimate(prices: Mapping[str, tuple[Decimal, str]]) -> Estimate:
        input_price, currency = prices[Kind.INPUT]
        output_price, _ = prices.get(Kind.OUTPUT, prices[Kind.INPUT])

        def cost(share: Decimal) -> Decimal:
            return millions * (share * input_price + (1 - share) * output_price)

        ends = cost(Decimal("0.9")), cost(input_share), cost(Decimal("0.5"))
        return Estimate(cost(input_share), min(ends), max(ends), currency)

    today, *later = map(estimate, lists)
    return (
        max(today, *later, key=lambda one: (one.currency != today.currency, one.amount)) if later else today
    )


def _published_lists(model_name: str) -> list[dict[str, tuple[Decimal, str]]]:
    """Input and output prices with their currency, by kind: the current ones first, then those after each change."""
    moment = now()
    rows = list(
        Price.objects.in_force_or_later()
        .filter(sku__model__name=model_name, sku__kind__in=[Kind.INPUT, Kind.OUTPUT])
        .values_list("sku__kind", "per_million", "currency", "valid")
    )
    changes = {edge for *_, valid in rows for edge in (valid.lower, valid.upper) if edge and edge > moment}
    return [
        {kind: (price, currency) for kind, price, currency, valid in rows if at in valid}
        for at in (moment, *sorted(changes))
    ]


def _publish(
    lists: Mapping[str, Mapping[str, Decimal]],
    *,
    first_from: datetime,
    change_from: datetime,
    currency: str,
    reason: str,
    by: User | None,
) -> tuple[PriceBookReport, datetime | None]:
    """Close and insert changed prices. Also returns the latest hour at which any of them begins or ends."""
    wanted = [
        _Wanted(model, kind, price, None if kind in prices else FALLBACKS[kind])
        for model, prices in lists.items()
        for kind, price in _with_fallbacks(prices).items()
    ]
    report = PriceBookReport()
    close: list[tuple[UUID, datetime]] = []
    insert: list[tuple[int, datetime, Decimal, str | None]] = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing.prices'))")
        # The lock stops new usage. After folding, one index has the last hour of each model.
        fold_rollups()
        present = _standing(cursor, lists, wanted)
        keep = {(price.model, price.kind): price for price in wanted}
        for model, kind, sku, price_id, opened, last_end, used_until, now_costs, now_in, now_same in present:
            price = keep.get((model, kind))
            if price_id is None:
                if price is not None:
                    start = max(filter(None, (first_from, last_end, used_until)))
                    insert.append((sku, start, price.per_million, price.same_as))
                    report.first += 1
            elif price and (price.per_million, currency, price.same_as) == (now_costs, now_in, now_same):
                report.unchanged += 1
            else:
                end = max(filter(None, (change_from, opened + HOUR, used_until)))
                close.append((price_id, end))
                if price is None:
                    report.withdrawn += 1
                else:
                    insert.append((sku, end, price.per_million, price.same_as))
                    report.changed += 1
        _close_and_insert(cursor, close, insert, currency=currency, reason=reason, by=by)
    if close or insert:
        prices_published.send(Price, models=sorted(lists))
    moments = [moment for _, moment in close] + [moment for _, moment, _, _ in insert]
    return report, max(moments, default=None)


def _with_fallbacks(prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {kind: prices[wider] for kind, wider in FALLBACKS.items() if wider in prices} | dict(prices)


def _standing(
    cursor: CursorWrapper, lists: Mapping[str, Mapping[str, Decimal]], wanted: Sequence[_Wanted]
) -> list[tuple[Any, ...]]:
    """Create missing SKUs; return every SKU of these models with its open price and the facts that limit changes."""
    names = sorted(lists)
    cursor.execute(
        "INSERT INTO billed_model (name, created_at) SELECT name, now() FROM unnest(%s::text[]) AS name "
        "ORDER BY name ON CONFLICT DO NOTHING",
        [names],
    )
    cursor.execute(
        "INSERT INTO sku (model_id, kind) SELECT m.id, w.kind FROM unnest(%s::text[], %s::text[]) AS w (model, kind) "
        "JOIN billed_model m ON m.name = w.model ORDER BY m.id, w.kind ON CONFLICT DO NOTHING",
        [[price.model for price in wanted], [price.kind for price in wanted]],
    )
    cursor.execute(
        """
        SELECT m.name, s.kind, s.id, p.id, lower(p.valid), ended.at, used.hour + interval '1 hour',
               p.per_million, p.currency, p.same_as
          FROM billed_model m
          JOIN sku s ON s.model_id = m.id
          LEFT JOIN price p ON p.sku_id = s.id AND upper_inf(p.valid)
          LEFT JOIN LATERAL (SELECT max(upper(valid)) AS at FROM price WHERE sku_id = s.id) ended ON true
          LEFT JOIN LATERAL (SELECT hour FROM rollup_hour WHERE model_id = m.id AND NOT is_unpriced
                              ORDER BY hour DESC LIMIT 1) used ON true
         WHERE m.name = ANY(%s)
        """,
        [names],
    )
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _close_and_insert(
    cursor: CursorWrapper,
    close: Sequence[tuple[UUID, datetime]],
    insert: Sequence[tuple[int, datetime, Decimal, str | None]],
    *,
    currency: str,
    reason: str,
    by: User | None,
) -> None:
    if close:
        cursor.execute(
            "UPDATE price p SET valid = tstzrange(lower(p.valid), c.at) "
            "FROM unnest(%s::uuid[], %s::timestamptz[]) AS c (id, at) WHERE p.id = c.id",
            [list(column) for column in zip(*close, strict=True)],
        )
    if insert:
        skus, starts, prices, same_as = (list(column) for column in zip(*insert, strict=True))
        cursor.execute(
            "INSERT INTO price (id, sku_id, valid, per_million, currency, same_as, reason, created_by_id, created_at) "
            "SELECT id, sku, tstzrange(starts, NULL), per_million, %s, same_as, %s, %s, now() FROM unnest(%s::uuid[], "
            "%s::int[], %s::timestamptz[], %s::numeric[], %s::text[]) AS n (id, sku, starts, per_million, same_as)",
            [
                currency,
                reason,
                by.pk if by else None,
                [uuid7() for _ in insert],
                skus,
                starts,
                prices,
                same_as,
            ],
        )
