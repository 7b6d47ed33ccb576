"""Sums of usage by hour, day and month, which pages, reports and cost lines read. billing.folding fills them."""

from __future__ import annotations

from django.db import models
from django.db.models import CompositePrimaryKey, Index

from billing.models.ledger import BilledModel, BillingOwned, Quantities, amount_field, unchecked
from tenants.models import ApiKey, Project, Tenant


class OfProject(models.Model):
    """The project and model of a sum. Needs no foreign keys: those of RollupDay already prevent deletion."""

    tenant = unchecked(Tenant)
    project = unchecked(Project)
    model = unchecked(BilledModel)

    class Meta:
        abstract = True


class OfHour(OfProject):
    """The hour (UTC) of a sum, and the tenant's day, because midnight may fall inside an hour."""

    day = models.DateField()
    hour = models.DateTimeField()

    class Meta:
        abstract = True


class RollupDelta(OfHour, BillingOwned, Quantities):
    """Additions that the rollups do not hold yet. Written with the usage; billing.folding moves them within seconds.

    The table has no unique index: several rows may have the same key (`pk`).
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

    Django reads a view that combines the table `…_folded`, with the same columns, and the rows of RollupDelta. So the
    sums are right at any moment. A key (`pk`) may occur in several rows: sum them.
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
    """Per project, key, model and day of the tenant. Its foreign keys prevent deletion of whatever was billed."""

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
    """Per project, model and month of the tenant: the sums of its days. A trigger on the days maintains them."""

    pk = CompositePrimaryKey("tenant", "month", "project", "model", "period", "is_unpriced")
    month = models.DateField()  # its first day

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_month"

    def __str__(self) -> str:
        return f"{self.calls} calls in {self.month:%B %Y}"


class RollupTenantDay(Rollup):
    """Per model and day of a tenant, over all projects and keys. A trigger on the days maintains these sums, too."""

    pk = CompositePrimaryKey("tenant", "day", "model", "period", "is_unpriced")
    tenant = unchecked(Tenant)
    model = unchecked(BilledModel)
    day = models.DateField()

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_tenant_day"

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"


class RollupTenantMonth(Rollup):
    """Per month of a whole tenant, for pages about all tenants. A trigger on the days maintains these sums, too."""

    pk = CompositePrimaryKey("month", "tenant", "period", "is_unpriced")
    month = models.DateField()  # its first day
    tenant = unchecked(Tenant)

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_tenant_month"

    def __str__(self) -> str:
        return f"{self.calls} calls in {self.month:%B %Y}"


class RollupKeyMonth(OfProject, Rollup):
    """Per key, model and month of the tenant: the sums of its folded days up to `KeyMonthsSummed.through`.

    Unlike the other rollups, this is the table itself. billing.key_months explains how it is read and filled.
    """

    pk = CompositePrimaryKey("tenant", "month", "key", "model", "project", "period", "is_unpriced")
    key = unchecked(ApiKey)
    month = models.DateField()  # its first day

    class Meta(Rollup.Meta):
        db_table = "rollup_key_month"

    def __str__(self) -> str:
        return f"{self.calls} calls of a key in {self.month:%B %Y}"


class KeyMonthsSummed(BillingOwned):
    """The last day of a tenant whose folded sums are in RollupKeyMonth. For a tenant without a row, none are."""

    tenant = models.OneToOneField(Tenant, models.PROTECT, primary_key=True, related_name="+")
    through = models.DateField()

    class Meta(BillingOwned.Meta):
        db_table = "key_months_summed"

    def __str__(self) -> str:
        return f"summed through {self.through}"


class RollupEstimated(OfHour, Rollup):
    """Sums of the calls whose tokens were estimated, in whole or in part (`is_exact` false)."""

    pk = CompositePrimaryKey("period", "tenant", "project", "key", "model", "day", "hour", "is_unpriced")
    key = unchecked(ApiKey)

    class Meta(Rollup.Meta):
        managed = False  # a view
        db_table = "rollup_estimated"
        indexes = [Index(fields=["tenant", "day"], name="rollup_estimated_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} estimated calls in the hour from {self.hour:%Y-%m-%d %H:%M}"
