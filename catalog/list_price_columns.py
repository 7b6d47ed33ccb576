"""Columns that lists sort and filter by follow the price book: at publication, and when a price begins."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.utils.timezone import now

# The currency of lists; a model priced in another one has no price to sort by.
CURRENCY: Final = "USD"
_REFRESH: Final = """
    UPDATE catalog_catalogmodel m
       SET list_input_price = p.input, list_output_price = p.output, list_cache_price = p.cache_read
      FROM (
        SELECT c.id,
               max(price.per_million) FILTER (WHERE sku.kind = 'input') AS input,
               max(price.per_million) FILTER (WHERE sku.kind = 'output') AS output,
               max(price.per_million) FILTER (WHERE sku.kind = 'cache_read' AND price.same_as IS NULL) AS cache_read
          FROM catalog_catalogmodel c
          LEFT JOIN billed_model b ON b.name = c.name
          LEFT JOIN sku ON sku.model_id = b.id AND sku.kind IN ('input', 'output', 'cache_read')
          LEFT JOIN price ON price.sku_id = sku.id AND price.valid @> %(at)s AND price.currency = %(currency)s
         WHERE %(names)s::text[] IS NULL OR c.name = ANY(%(names)s::text[])
         GROUP BY c.id
      ) p
     WHERE m.id = p.id
       AND (m.list_input_price, m.list_output_price, m.list_cache_price)
           IS DISTINCT FROM (p.input, p.output, p.cache_read)
"""


def refresh_list_prices(names: Collection[str] | None = None, *, at: datetime | None = None) -> int:
    """Set the columns of these models (default: of all) to the list prices of a moment (default: now).

    Returns how many models changed. One statement; safe to repeat.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _REFRESH,
            {"currency": CURRENCY, "names": None if names is None else sorted(names), "at": at or now()},
        )
        return int(cursor.rowcount)


def follow_publication(sender: Any, *, models: Collection[str], **kwargs: Any) -> None:
    """Receives `billing.signals.prices_published`."""
    refresh_list_prices(models)
