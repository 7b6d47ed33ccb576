"""Sums of usage by hour, day and month, which pages, reports and cost lines read. billing.folding fills them."""

from __future__ import annotations

from django.db import models
from django.db.models import CompositePrimaryKey, Index

from billing.models.ledger import BilledModel, BillingOwned, Quantities, amount_field, unchecked
from tenants.models import ApiKey, Project, Tenant


class OfProject(models.Model):
    """Of which project and model a sum is. No foreign keys: those of a key's days keep billed things from deletion."""

    tenant = unchecked(Tenant)
    project = unchecked(Project)
    model = unchecked(BilledModel)

    class Meta:
        abstract = True


class OfHour(OfProject):
    """Of which hour (UTC) a sum is, and of which day of the tenant, because midnight may fall inside an hour."""

    day = models.DateField()
    hour = models.DateTimeField()

    class Meta:
        abstract = True


class RollupDelta(OfHour, BillingOwned, Quantities):
    """What the rollups gained and do not hold yet; written with the usage, moved by billing.folding within seconds.

    The database keeps no unique index on it: several rows may have the same key (`pk`).
    """

    pk = CompositePrimaryKey(
        "period", "tenant", "project", "key", "model", "day", "hour", "is_unpriced", "is_exact"
    )
    key = unchecked(ApiKey)
    period = models.DateField()
    is_unpriced = models.BooleanField()
    is_exact = models.BooleanField()
    calls = models.BigIntegerField()
    amount = amount_field(null=True)

    class Meta(BillingOwned.Meta):
        db_table = "rollup_delta"
        indexes = [Index(fields=["tenant", "day"], name="rollup_delta_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} calls in the hour from {self.hour:%Y-%m-%d %H:%M}"


class Rollup(BillingOwned, Quantities):
    """Sums of events. Priced and unpriced calls never share a row.

    What Django reads is a view: the table `…_folded` of the same columns, and what RollupDelta adds. So the sums are
    right at any moment, and a key (`pk`) may stand in several rows: sum them.
    """

    period = models.DateField()
    is_unpriced = models.BooleanField()
    calls = models.BigIntegerField()
    amount = amount_field(null=True)

    class Meta:
        abstract = True


class RollupHour(OfHour, Rollup):
    """Per project, model, day and hour."""

    pk = CompositePrimaryKey("period", "tenant", "project", "model", "day", "hour", "is_unpriced")

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_hour"
        indexes = [
            Index(fields=["model", "hour"], name="rollup_hour_model_hour"),
            Index(fields=["tenant", "day"], name="rollup_hour_tenant_day"),
        ]

    def __str__(self) -> str:
        return f"{self.calls} calls in the hour from {self.hour:%Y-%m-%d %H:%M}"


class RollupDay(Rollup):
    """Per project, key, model and day of the tenant. Its foreign keys keep billed things from deletion."""

    pk = CompositePrimaryKey("period", "tenant", "project", "key", "model", "day", "is_unpriced")
    tenant = models.ForeignKey(Tenant, models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, db_index=False, related_name="+")
    key = models.ForeignKey(ApiKey, models.PROTECT, db_index=False, related_name="+")
    model = models.ForeignKey(BilledModel, models.PROTECT, db_index=False, related_name="+")
    day = models.DateField()

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_day"
        indexes = [Index(fields=["tenant", "day"], name="rollup_day_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"


class RollupMonth(OfProject, Rollup):
    """Per project, model and month of the tenant: the sums of its days, kept by a trigger of theirs."""

    pk = CompositePrimaryKey("tenant", "month", "project", "model", "period", "is_unpriced")
    month = models.DateField()  # its first day

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_month"

    def __str__(self) -> str:
        return f"{self.calls} calls in {self.month:%B %Y}"


class RollupTenantDay(Rollup):
    """Per model and day of a whole tenant: the sums of its days over all projects and keys, kept like its months."""

    pk = CompositePrimaryKey("tenant", "day", "model", "period", "is_unpriced")
    tenant = unchecked(Tenant)
    model = unchecked(BilledModel)
    day = models.DateField()

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_tenant_day"

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"


class RollupKeyMonth(OfProject, Rollup):
    """Per key, model and month of the tenant: the sums of its folded days up to `KeyMonthsSummed.through`.

    Unlike the other rollups this is the table itself. billing.key_months says how it is read and filled.
    """

    pk = CompositePrimaryKey("tenant", "month", "key", "model", "project", "period", "is_unpriced")
    key = unchecked(ApiKey)
    month = models.DateField()  # its first day

    class Meta(Rollup.Meta):
        db_table = "rollup_key_month"

    def __str__(self) -> str:
        return f"{self.calls} calls of a key in {self.month:%B %Y}"


class KeyMonthsSummed(BillingOwned):
    """Up to which day a tenant's folded days are in RollupKeyMonth. A tenant without a row: none are."""

    tenant = models.OneToOneField(Tenant, models.PROTECT, primary_key=True, related_name="+")
    through = models.DateField()

    class Meta(BillingOwned.Meta):
        db_table = "key_months_summed"

    def __str__(self) -> str:
        return f"summed through {self.through}"


class RollupEstimated(OfHour, Rollup):
    """Of the other rollups, the calls whose tokens were estimated, in whole or in part (`is_exact` false)."""

    pk = CompositePrimaryKey("period", "tenant", "project", "key", "model", "day", "hour", "is_unpriced")
    key = unchecked(ApiKey)

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_estimated"
        indexes = [Index(fields=["tenant", "day"], name="rollup_estimated_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} estimated calls in the hour from {self.hour:%Y-%m-%d %H:%M}"
