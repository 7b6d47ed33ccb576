"""How calls went: counts by day of how long answers took, and how many failed (billing/quality.py)."""

from __future__ import annotations

from django.db import models
from django.db.models import CompositePrimaryKey, Index

from billing.models.ledger import BilledModel, BillingOwned, unchecked
from tenants.models import Tenant


def counts_field() -> models.JSONField:
    """{"48": 12}: how many calls lie in each bucket of `billing.quality`."""
    return models.JSONField(default=dict)


class QualityOfDay(models.Model):
    """The calls of one model on one day (UTC) that reached a target. A cancelled call is neither ok nor failed."""

    model = unchecked(BilledModel)
    day = models.DateField()
    calls = models.BigIntegerField()
    failed = models.BigIntegerField()
    # Milliseconds to the end of the answer, of calls that were answered in full.
    answered_in = counts_field()
    # Milliseconds to the first token, of streams among them.
    first_token_in = counts_field()
    # Tokens per second after the first, of streams with enough of them.
    tokens_per_second = counts_field()

    class Meta:
        abstract = True


class ModelQuality(QualityOfDay):
    """The calls of all tenants. `tenants` says how many of them called."""

    pk = CompositePrimaryKey("model", "day")
    tenants = models.IntegerField()

    class Meta:
        db_table = "quality_of_model"
        indexes = [Index(fields=["day"], name="quality_of_model_day")]

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"


class TenantQuality(QualityOfDay, BillingOwned):
    """The calls of one tenant."""

    pk = CompositePrimaryKey("tenant", "model", "day")
    tenant = unchecked(Tenant)

    class Meta(BillingOwned.Meta):
        db_table = "quality_of_tenant"
        indexes = [Index(fields=["day"], name="quality_of_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"
