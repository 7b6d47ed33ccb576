"""The offers of a model as its page shows them: who gets the data, where, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from catalog.models import Offer
from core.page_parts import Fact
from core.regions import is_allowed
from tenants.models import Tenant


@dataclass(frozen=True)
class OfferRow:
    """A row in the list of a model's offers; price, region and provider are of one offer."""

    provider: str
    name: str
    region: str
    context_tokens: int | None
    input: Decimal | None
    output: Decimal | None
    # Its prices are the model's list prices.
    is_primary: bool
    # The tenant's regions rule it out.
    is_outside: bool


def offer_rows(offers: Sequence[Offer], tenant: Tenant) -> list[OfferRow]:
    """The offers, the one that sets the list prices first; then those in the tenant's regions, by provider."""
    rows = [
        OfferRow(
            provider=offer.provider,
            name=offer.source_key,
            region=offer.region,
            context_tokens=offer.facts.get("context_tokens"),
            input=_price(offer.prices, "input"),
            output=_price(offer.prices, "output"),
            is_primary=offer.is_primary,
            is_outside=not is_allowed(offer.region, tenant.regions),
        )
        for offer in offers
    ]
    return sorted(
        rows, key=lambda row: (not row.is_primary, row.is_outside, row.provider, row.region, row.name)
    )


def primary_fact(offers: Sequence[Offer]) -> list[Fact]:
    """Whose offer the list prices are, and where it runs."""
    primary = next((offer for offer in offers if offer.is_primary), None)
    if primary is None:
        return []
    place = {"provider": primary.provider, "region": primary.region}
    words = _("%(provider)s in %(region)s") if primary.region else "%(provider)s"
    return [Fact(_("List prices of"), words % place)]


def _price(prices: dict[str, str], kind: str) -> Decimal | None:
    return Decimal(prices[kind]) if kind in prices else None
