"""HOW MUCH: what was used, what it costs, and what has been posted. Rows are added, never changed.

Amounts are exact: whole tokens x price per million (8 decimals) / 10^6 fits 14 decimals.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import CheckConstraint, CompositePrimaryKey, F, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from billing.kinds import Kind
from billing.querysets import ExportQuerySet, PriceQuerySet
from tenants.errors import Conflict
from tenants.ids import uuid7
from tenants.models import ApiKey, Project, Tenant, User
from tenants.roles import StaffRole
from tenants.scoping import TenantOwned


def _amount(**options: object) -> models.DecimalField:  # type: ignore[type-arg]
    return models.DecimalField(max_digits=38, decimal_places=14, **options)  # type: ignore[arg-type]


def _unchecked(to: type[models.Model]) -> models.ForeignKey:  # type: ignore[type-arg]
    """A reference that is resolved when the row is made, and that RollupDay's foreign keys keep from dangling."""
    return models.ForeignKey(to, models.PROTECT, db_index=False, db_constraint=False, related_name="+")


class BilledModel(models.Model):
    """A model's public name as the ledger knows it; it stays when the catalog forgets the model."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        db_table = "billed_model"

    def __str__(self) -> str:
        return self.name


class Sku(models.Model):
    """What a price is set for: one kind of usage of one model."""

    id = models.AutoField(primary_key=True)
    model = models.ForeignKey(BilledModel, models.PROTECT, related_name="skus")
    kind = models.CharField(max_length=12, choices=Kind)

    class Meta:
        db_table = "sku"
        constraints = [UniqueConstraint(fields=["model", "kind"], name="sku_once_per_model_and_kind")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.kind}"


class Price(models.Model):
    """Money per million of a SKU for a range of whole hours. Never edited: closed, and followed by the next.

    The database refuses overlapping ranges, edits, deletions, and ranges that begin before usage that is
    priced already (migration 0002).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="prices")
    valid = DateTimeRangeField()  # [from, until); until is open for the price in force
    per_million = models.DecimalField(max_digits=18, decimal_places=8)
    currency = models.CharField(max_length=3)
    same_as = models.CharField(max_length=12, choices=Kind, null=True)  # the kind whose price this one copies
    reason = models.CharField(max_length=300)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # null: the platform
    created_at = models.DateTimeField(default=now, editable=False)

    objects = PriceQuerySet.as_manager()

    class Meta:
        db_table = "price"
        permissions = [("publish_price", "Publish prices")]
        constraints = [
            CheckConstraint(name="price_is_not_negative", condition=Q(per_million__gte=0)),
            CheckConstraint(name="price_has_a_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.per_million:f} {self.currency} per million"


class BillingOwned(TenantOwned):
    """A tenant's billing facts; controllers see them all, as operators and auditors do."""

    visible_to_staff = TenantOwned.visible_to_staff | {StaffRole.CONTROLLER}

    class Meta:
        abstract = True


class Quantities(models.Model):
    """How much of each kind; disjoint, so their sum is all there was."""

    input = models.BigIntegerField(default=0)
    cache_read = models.BigIntegerField(default=0)
    cache_write = models.BigIntegerField(default=0)
    output = models.BigIntegerField(default=0)
    reasoning = models.BigIntegerField(default=0)
    image = models.BigIntegerField(default=0)
    audio = models.BigIntegerField(default=0)
    request = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageEvent(BillingOwned, Quantities):
    """One call, as its source reported it. Append-only, partitioned by month of `occurred_at`.

    Uniqueness is EventKey's work. `amount` is null exactly when some of it had no price (`is_unpriced`).
    """

    pk = CompositePrimaryKey("source", "event_id")
    event_id = models.UUIDField()
    tenant = _unchecked(Tenant)
    project = _unchecked(Project)
    key = _unchecked(ApiKey)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=now)
    latency_ms = models.BigIntegerField()
    first_token_ms = models.BigIntegerField(null=True)
    config_revision = models.BigIntegerField()
    day = models.DateField()  # in the tenant's time zone
    period = models.DateField()  # first day of the month it is posted to
    model = _unchecked(BilledModel)
    http_status = models.SmallIntegerField()
    is_unpriced = models.BooleanField()
    is_exact = models.BooleanField()
    is_stream = models.BooleanField()
    source = models.TextField()
    status = models.TextField()
    amount = _amount(null=True)
    backend_id = models.TextField(null=True)
    request_id = models.TextField(null=True)
    trace_id = models.TextField(null=True)

    class Meta(BillingOwned.Meta):
        db_table = "usage_event"

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class EventKey(models.Model):
    """An event's identity and the fingerprint of its content: what makes the second sending change nothing."""

    pk = CompositePrimaryKey("source", "event_id")
    event_id = models.UUIDField()
    occurred_at = models.DateTimeField()  # where to find the event: its partition, then the BRIN index
    source = models.TextField()
    payload_sha = models.BinaryField()

    class Meta:
        db_table = "event_key"

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class QuarantinedEvent(models.Model):
    """An event that was not billed, kept as it came until somebody has looked."""

    class Reason(models.TextChoices):
        CONFLICTING_PAYLOAD = "conflicting_payload", _("Same id, other content")
        UNKNOWN_KEY = "unknown_key", _("Unknown key")
        MALFORMED = "malformed", _("Malformed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=40)
    event_id = models.CharField(max_length=200)
    reason = models.CharField(max_length=20, choices=Reason)
    payload = models.JSONField()
    payload_sha = models.BinaryField()
    recorded_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        db_table = "quarantined_event"
        constraints = [
            UniqueConstraint(
                fields=["source", "event_id", "reason", "payload_sha"], name="quarantined_event_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}: {self.reason}"


class Rollup(BillingOwned, Quantities):
    """Sums of events. Priced and unpriced calls never share a row."""

    period = models.DateField()
    is_unpriced = models.BooleanField()
    calls = models.BigIntegerField()
    amount = _amount(null=True)

    class Meta:
        abstract = True


class RollupHour(Rollup):
    """Per project, model and hour (UTC); also per day, because midnight may fall inside an hour."""

    pk = CompositePrimaryKey("period", "tenant", "project", "model", "day", "hour", "is_unpriced")
    tenant = _unchecked(Tenant)
    project = _unchecked(Project)
    model = _unchecked(BilledModel)
    day = models.DateField()
    hour = models.DateTimeField()

    class Meta(Rollup.Meta):
        db_table = "rollup_hour"
        indexes = [Index(fields=["model", "hour"], name="rollup_hour_model_hour")]

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
        db_table = "rollup_day"
        indexes = [Index(fields=["tenant", "day"], name="rollup_day_tenant_day")]

    def __str__(self) -> str:
        return f"{self.calls} calls on {self.day}"


class BillingPeriod(BillingOwned):
    """A tenant's billing month. Closed, its totals are frozen; late usage goes to the next open one."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        CLOSED = "closed", _("Closed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, db_index=False, related_name="billing_periods")
    month = models.DateField()  # its first day
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    posted_up_to = models.DateField(null=True)  # the last day whose cost lines are posted
    total = _amount(null=True)
    lines = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)  # of its cost lines, in order
    closed_at = models.DateTimeField(null=True)

    class Meta(BillingOwned.Meta):
        db_table = "billing_period"
        constraints = [
            UniqueConstraint(fields=["tenant", "month"], name="billing_period_one_a_month"),
            CheckConstraint(name="billing_period_is_a_month", condition=Q(month__day=1)),
            CheckConstraint(
                name="billing_period_frozen_once_closed",
                condition=Q(state="open", closed_at__isnull=True)
                | Q(state="closed", closed_at__isnull=False, total__isnull=False) & ~Q(sha256=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.month:%Y-%m}"


class CostLine(BillingOwned):
    """Usage x price, posted. A correction is another line (`reverses`); lines are never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.DateField()
    tenant = models.ForeignKey(Tenant, models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, db_index=False, related_name="+")
    sku = models.ForeignKey(Sku, models.PROTECT, db_index=False, related_name="+")
    price = models.ForeignKey(Price, models.PROTECT, db_index=False, related_name="+")
    day = models.DateField()
    quantity = models.BigIntegerField()
    per_million = models.DecimalField(max_digits=18, decimal_places=8)
    amount = _amount()
    source_ref = models.CharField(max_length=200, unique=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")
    posted_at = models.DateTimeField(default=now, editable=False)

    class Meta(BillingOwned.Meta):
        db_table = "cost_line"
        indexes = [Index(fields=["tenant", "period", "day"], name="cost_line_tenant_period_day")]

    def __str__(self) -> str:
        return self.source_ref


class UsageImport(models.Model):
    """A usage file that was imported, with what decided where its calls went: a repetition must decide the same."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=40)  # of its events
    file_name = models.CharField(max_length=200)
    file_sha256 = models.CharField(max_length=64)
    assignment = models.JSONField()
    started_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)
    recorded = models.BigIntegerField(default=0)
    repeated = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)

    class Meta:
        db_table = "usage_import"
        constraints = [UniqueConstraint(fields=["source", "file_sha256"], name="usage_import_once_per_file")]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.source})"


_IS_BUILT = (
    Q(finished_at__isnull=False, size_bytes__isnull=False, expires_at__isnull=False)
    & ~Q(sha256="")
    & (~Q(kind="costs") | Q(total__isnull=False))
)


class Export(BillingOwned):
    """A cost report or a part of the audit trail as a file, built by a task."""

    class Kind(models.TextChoices):
        COSTS = "costs", _("Costs")
        AUDIT_CSV = "audit_csv", _("Audit trail, CSV")
        AUDIT_JSONL = "audit_jsonl", _("Audit trail, JSON Lines")

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Building")
        DONE = "done", _("Ready")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Expired")

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.RUNNING},
        State.RUNNING: {State.RUNNING, State.DONE, State.FAILED, State.QUEUED},
        State.DONE: {State.EXPIRED},
        State.FAILED: {State.QUEUED, State.EXPIRED},
    }
    queryset_class = ExportQuerySet

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # null: of all tenants, for auditors
        Tenant, models.PROTECT, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.COSTS, db_default=Kind.COSTS)
    question = models.JSONField(  # what of the trail: {"actor", "is_platform", "deed", "subject"}
        default=dict, blank=True, db_default=models.Value({}, models.JSONField())
    )
    start_day = models.DateField()
    end_day = models.DateField()  # included
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="+")  # null: all
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=now, editable=False)
    heartbeat_at = models.DateTimeField(null=True)  # while building
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    total = _amount(null=True)  # sum of the file's amounts
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=500, blank=True)
    is_final = models.BooleanField(default=False, db_default=False)  # of a closing tenant; its file is kept

    class Meta(BillingOwned.Meta):
        db_table = "export"
        constraints = [
            CheckConstraint(name="export_days_in_order", condition=Q(end_day__gte=F("start_day"))),
            CheckConstraint(name="export_done_has_its_file", condition=~Q(state="done") | _IS_BUILT),
            CheckConstraint(
                name="export_of_costs_has_a_tenant", condition=~Q(kind="costs") | Q(tenant__isnull=False)
            ),
        ]
        indexes = [Index(fields=["tenant", "-id"], name="export_tenant_newest")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def file_name(self) -> str:
        """What a browser saves it as."""
        what = "costs" if self.kind == self.Kind.COSTS else "audit"
        whose = self.tenant.slug if self.tenant else "all-tenants"
        return f"{what}-{whose}-{self.start_day:%Y%m%d}-{self.end_day:%Y%m%d}.{self.suffix}"

    @property
    def suffix(self) -> str:
        return "jsonl" if self.kind == self.Kind.AUDIT_JSONL else "csv"

    @property
    def permission(self) -> str:
        """What one must be allowed, in its tenant or everywhere, to ask for it and to have it."""
        return "tenants.export_cost" if self.kind == self.Kind.COSTS else "tenants.export_audit"

    @property
    def month(self) -> date | None:
        """The first day of the month, when it covers exactly one."""
        following = (self.start_day + timedelta(days=32)).replace(day=1)
        is_month = self.start_day.day == 1 and self.end_day == following - timedelta(days=1)
        return self.start_day if is_month else None

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(f"This report is {self.get_state_display().lower()}; it cannot become {state}.")
        self.state = state
