"""HOW MUCH: the ledger."""

from billing.models.ledger import (
    BilledModel,
    BillingOwned,
    BillingPeriod,
    CostLine,
    EventKey,
    Price,
    Quantities,
    QuarantinedEvent,
    Sku,
    UnpostedDay,
    UsageBackend,
    UsageEvent,
    UsageImport,
)
from billing.models.rollups import (
    Rollup,
    RollupDay,
    RollupDelta,
    RollupEstimated,
    RollupHour,
    RollupMonth,
    RollupTenantDay,
)

__all__ = [
    "BilledModel",
    "BillingOwned",
    "BillingPeriod",
    "CostLine",
    "EventKey",
    "Price",
    "Quantities",
    "QuarantinedEvent",
    "Rollup",
    "RollupDay",
    "RollupDelta",
    "RollupEstimated",
    "RollupHour",
    "RollupMonth",
    "RollupTenantDay",
    "Sku",
    "UnpostedDay",
    "UsageBackend",
    "UsageEvent",
    "UsageImport",
]
