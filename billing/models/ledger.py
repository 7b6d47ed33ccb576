"""HOW MUCH: usage, its cost, and the posted cost lines. Rows are added, never changed.

Amounts are exact: whole tokens x price per million (8 decimals) / 10^6 fits 14 decimals.
"""

from __future__ import annotations

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import CheckConstraint, CompositePrimaryKey, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from accounts.roles import StaffRole
from billing.known_kinds import quantities_of
from billing.querysets import PriceQuerySet
from core.ids import uuid7
from core.stored_labels import StoredLabel
from core.templatetags.qm import price_exact
from core.tenant_managers import TenantOwned
from tenants.models import ApiKey, Project, Tenant


def amount_field(**options: object) -> models.DecimalField:  # type: ignore[type-arg]
    return models.DecimalField(max_digits=38, decimal_places=14, **options)  # type: ignore[arg-type]


def unchecked(to: type[models.Model]) -> models.ForeignKey:  # type: ignore[type-arg]
    """A reference without a constraint. It is resolved on creation; RollupDay's foreign keys keep it valid."""
    return models.ForeignKey(to, models.PROTECT, db_index=False, db_constraint=False, related_name="+")


class BilledModel(models.Model):
    """A model's public name in the ledger. It stays when the model leaves the catalog."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        db_table = "billed_model"

    def __str__(self) -> str:
        return self.name


class UsageTarget(models.Model):
    """A gateway's name for a target that served calls. It is stored once, so each call needs only its number."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        db_table = "usage_target"

    def __str__(self) -> str:
        return self.name


class Sku(models.Model):
    """The unit that has a price: one kind of usage of one model."""

    id = models.AutoField(primary_key=True)
    model = models.ForeignKey(BilledModel, models.PROTECT, related_name="skus")
    # The name of a UsageKind.
    kind = models.CharField(_("kind"), max_length=40)

    class Meta:
        db_table = "sku"
        constraints = [UniqueConstraint(fields=["model", "kind"], name="sku_once_per_model_and_kind")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.kind}"


_PRICE = StoredLabel("billing.price", _("%(amount)s per million"))


class Price(models.Model):
    """Money per million of a SKU for a range of whole hours. Prices are never edited: one is closed, the next follows.

    The database rejects overlapping ranges, edits, deletions, and ranges that begin before usage that is already
    priced (migration 0005).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sku = models.ForeignKey(
        Sku, models.PROTECT, verbose_name=_("model and kind of usage"), related_name="prices"
    )
    # [from, until); the price in force has no end.
    valid = DateTimeRangeField(_("valid for"))
    per_million = models.DecimalField(_("per million"), max_digits=18, decimal_places=8)
    currency = models.CharField(_("currency"), max_length=3)
    # The kind whose price this price copies.
    same_as = models.CharField(_("same price as"), max_length=40, null=True)
    reason = models.CharField(_("reason"), max_length=300)
    # Null: the platform.
    created_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("created by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        db_table = "price"
        permissions = [("publish_price", "Publish prices")]
        constraints = [
            CheckConstraint(name="price_is_not_negative", condition=Q(per_million__gte=0)),
            CheckConstraint(name="price_has_a_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return _PRICE(amount=price_exact(self.per_million, self.currency))


class BillingOwned(TenantOwned):
    """A tenant's billing facts. Controllers, operators and auditors see those of all tenants."""

    visible_to_staff = TenantOwned.visible_to_staff | {StaffRole.CONTROLLER}

    class Meta:
        abstract = True


def usage_field() -> models.DecimalField:  # type: ignore[type-arg]
    """Usage of all kinds, packed into one number (billing/packed_usage.py)."""
    return models.DecimalField(max_digits=1000, decimal_places=0, default=0)


class Quantities(models.Model):
    """Usage of all kinds, and the sum of the kinds that are tokens."""

    usage = usage_field()
    tokens = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def quantities(self) -> dict[str, int]:
        """The quantity of each kind that was used, by its name."""
        return quantities_of(f"{self.usage:f}")


class UsageEvent(BillingOwned):
    """One call, as its source reported it. Append-only, partitioned by month of `occurred_at`.

    EventKey ensures uniqueness. `amount` is null if and only if part of the call had no price (`is_unpriced`).
    """

    pk = CompositePrimaryKey("source", "event_id")
    event_id = models.UUIDField()
    tenant = unchecked(Tenant)
    project = unchecked(Project)
    key = unchecked(ApiKey)
    occurred_at = models.DateTimeField()
    latency_ms = models.IntegerField()
    first_token_ms = models.IntegerField(null=True)
    config_revision = models.BigIntegerField()
    # In the tenant's time zone.
    day = models.DateField()
    # First day of the month it is posted to.
    period = models.DateField()
    model = unchecked(BilledModel)
    http_status = models.SmallIntegerField()
    is_unpriced = models.BooleanField()
    is_exact = models.BooleanField()
    is_stream = models.BooleanField()
    is_long_context = models.BooleanField(default=False)
    is_batch = models.BooleanField(default=False)
    source = models.TextField()
    status = models.TextField()
    usage = usage_field()
    amount = amount_field(null=True)
    target = models.ForeignKey(
        UsageTarget, models.PROTECT, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    # Null: same as `event_id`.
    request_id = models.TextField(null=True)
    # A W3C Trace Context id: 32 hexadecimal digits.
    trace_id = models.UUIDField(null=True)
    # The caller's trace id in any other format.
    trace_text = models.TextField(null=True)
    # Who answered for the key when the call arrived. No reference: the row stays when the account is erased.
    person_id = models.UUIDField(null=True)
    # As the target named it.
    service_tier = models.TextField(null=True)
    # The model that the client asked for, if another one answered.
    asked_model = models.TextField(null=True)

    class Meta(BillingOwned.Meta):
        db_table = "usage_event"

    @property
    def quantities(self) -> dict[str, int]:
        """The quantity of each kind that the call used, by its name."""
        return quantities_of(f"{self.usage:f}")

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class EventKey(models.Model):
    """An event's identity and the fingerprint of its content. They make sure that a repeated event changes nothing."""

    pk = CompositePrimaryKey("source", "event_id")
    event_id = models.UUIDField()
    source = models.TextField()
    # The first 64 bits of a SHA-256.
    payload_sha = models.BigIntegerField()

    class Meta:
        db_table = "event_key"

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class QuarantinedEvent(BillingOwned):
    """An event that was not billed, kept as received until someone reviews it.

    It belongs to the tenant whose key it names. If there is no such key, it has no tenant and only the platform sees
    it.
    """

    class Reason(models.TextChoices):
        CONFLICTING_PAYLOAD = "conflicting_payload", _("Same id, other content")
        UNKNOWN_KEY = "unknown_key", _("Unknown key")
        MALFORMED = "malformed", _("Malformed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, verbose_name=_("tenant"), null=True, related_name="+")  # type: ignore[assignment]
    source = models.CharField(_("source"), max_length=40)
    event_id = models.CharField(_("event ID"), max_length=200)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason)
    # The event as the source sent it: the fields of UsageRecord, or whatever it sent instead.
    payload = models.JSONField(_("content"))
    payload_sha = models.BinaryField()
    recorded_at = models.DateTimeField(_("recorded"), default=now, editable=False)

    class Meta(BillingOwned.Meta):
        verbose_name = _("quarantined event")
        verbose_name_plural = _("quarantined events")
        db_table = "quarantined_event"
        constraints = [
            UniqueConstraint(
                fields=["source", "event_id", "reason", "payload_sha"], name="quarantined_event_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}: {self.reason}"


class BillingPeriod(BillingOwned):
    """A tenant's billing month. Closing freezes its totals; late usage goes to the next open month."""

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("billing period", "Open")
        CLOSED = "closed", pgettext_lazy("billing period", "Closed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, verbose_name=_("tenant"), db_index=False, related_name="billing_periods"
    )
    month = models.DateField()  # its first day
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    # The last day whose cost lines are posted.
    posted_up_to = models.DateField(null=True)
    total = amount_field(null=True)
    lines = models.BigIntegerField(null=True)
    # SHA-256 of its cost lines, in order.
    sha256 = models.CharField(max_length=64, blank=True)
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


class UnpostedDay(BillingOwned):
    """A tenant's day whose usage changed after its cost lines were posted. Ingest writes the row in the transaction of
    the usage; posting the day deletes it. A day without a row has nothing to post."""

    pk = CompositePrimaryKey("tenant", "period", "day")
    tenant = models.ForeignKey(Tenant, models.CASCADE, db_index=False, related_name="+")
    # First day of the month it is posted to.
    period = models.DateField()
    # In the tenant's time zone.
    day = models.DateField()
    changed_at = models.DateTimeField(default=now)

    class Meta(BillingOwned.Meta):
        db_table = "unposted_day"
        indexes = [Index(fields=["day"], name="unposted_day_day")]

    def __str__(self) -> str:
        return f"{self.day} of {self.period:%Y-%m}"


class CostLine(BillingOwned):
    """Usage x price, posted. Lines are never changed; a correction is another line (`reverses`)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.DateField()
    tenant = models.ForeignKey(Tenant, models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, db_index=False, related_name="+")
    sku = models.ForeignKey(Sku, models.PROTECT, db_index=False, related_name="+")
    price = models.ForeignKey(Price, models.PROTECT, db_index=False, related_name="+")
    day = models.DateField()
    quantity = models.BigIntegerField()
    per_million = models.DecimalField(max_digits=18, decimal_places=8)
    amount = amount_field()
    source_ref = models.CharField(max_length=200, unique=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")
    posted_at = models.DateTimeField(default=now, editable=False)

    class Meta(BillingOwned.Meta):
        db_table = "cost_line"
        indexes = [Index(fields=["tenant", "period", "day"], name="cost_line_tenant_period_day")]

    def __str__(self) -> str:
        return self.source_ref


class UsageImport(BillingOwned):
    """An imported usage file, with the options that assigned its calls. A repeated import must use the same options.

    The demo's rule spreads one file over several tenants; such an import belongs to the platform.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")  # type: ignore[assignment]
    source = models.CharField(max_length=40)  # of its events
    file_name = models.CharField(max_length=200)
    file_sha256 = models.CharField(max_length=64)
    # {"tenant", "project", "model", "start"} or {"rule": "demo", …}: the options of the import.
    assignment = models.JSONField()
    started_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)
    recorded = models.BigIntegerField(default=0)
    repeated = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)

    class Meta(BillingOwned.Meta):
        db_table = "usage_import"
        constraints = [UniqueConstraint(fields=["source", "file_sha256"], name="usage_import_once_per_file")]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.source})"
