"""Undoing a published price list: the one before, from the next hour on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.models import User
from audit.models import AuditEntry
from billing.models import Price
from billing.prices import HOUR, hour_of, publish_prices, published_list
from core.joined import listed, named
from gateway.undo.steps import Step, changed_since

_LONGEST_REASON: Final = Price._meta.get_field("reason").max_length


def published(entry: AuditEntry) -> Step:
    """The inverse of publishing the prices of one model. What was used meanwhile keeps its price."""
    model = entry.subject_label
    said = entry.details.get("per_million", {})
    before = {kind: old for kind, (old, _new) in entry.changes.items()}
    whole = {kind: price for kind, price in {**said, **before}.items() if price is not None}
    currency = entry.details.get("currency_before", "")
    if not whole or not currency:
        return Step(entry, _("%(model)s had no prices before. Publish the right ones.") % {"model": model})
    begins = datetime.fromisoformat(entry.details["valid_from"])

    def undo(by: User | None) -> None:
        start = max(hour_of(now()), begins)
        listed = published_list(start, model)
        if listed != (_plain(said), entry.details["currency"]):
            raise changed_since(model)
        publish_prices(
            model,
            {kind: Decimal(price) for kind, price in whole.items()},
            valid_from=start + HOUR,
            currency=currency,
            reason=f"Undone: {entry.reason}"[:_LONGEST_REASON],
            by=by,
        )

    shown = listed(named(kind, price) for kind, price in sorted(_plain(whole).items()))
    words = _("Set the prices of %(model)s per million, in %(currency)s from the next hour, to %(prices)s")
    return Step(entry, words % {"model": model, "currency": currency, "prices": shown}, undo)


def _plain(prices: dict[str, str]) -> dict[str, str]:
    return {kind: f"{Decimal(price).normalize():f}" for kind, price in prices.items()}
