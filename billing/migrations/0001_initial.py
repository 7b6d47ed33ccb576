"""The tables that Django makes: kinds of usage, prices, periods, cost lines, and quarantined and imported usage.

The next migrations make the ledger, which is partitioned, and its sums, which are views. The last one adds the rules
that Django cannot express for the tables below.
"""

from django.conf import settings
from django.contrib.postgres.fields import DateTimeRangeField
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7

UNITS = [
    ("token", "token"),
    ("request", "request"),
    ("second", "second"),
    ("image", "image"),
    ("character", "character"),
    ("search", "search"),
    ("page", "page"),
    ("unknown", "unknown"),
]
UNSCOPED = [("unscoped", models.Manager())]

KINDS = [
    migrations.CreateModel(
        name="UsageKind",
        fields=[
            ("id", models.SmallIntegerField(editable=False, primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=40, unique=True, verbose_name="name")),
            ("label", models.CharField(blank=True, max_length=60, verbose_name="label")),
            ("unit", models.CharField(choices=UNITS, max_length=12, verbose_name="unit")),
            ("scale", models.IntegerField(default=1, verbose_name="scale")),
            ("price_for", models.IntegerField(default=1_000_000, verbose_name="price for")),
            ("needs_price", models.BooleanField(default=True, verbose_name="needs a price")),
            ("is_known", models.BooleanField(default=True, verbose_name="described")),
            ("place", models.DecimalField(decimal_places=0, editable=False, max_digits=1000)),
            ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
        ],
        options={
            "db_table": "usage_kind",
            "verbose_name": "kind of usage",
            "verbose_name_plural": "kinds of usage",
            "constraints": [
                models.CheckConstraint(
                    condition=Q(name__regex=r"^[a-z][a-z0-9_]{0,39}$"), name="usage_kind_name_is_a_slug"
                ),
                models.CheckConstraint(
                    condition=Q(scale__gte=1, price_for__gte=1), name="usage_kind_scale_is_positive"
                ),
                models.CheckConstraint(
                    condition=~Q(unit="unknown", is_known=True), name="usage_kind_unit_is_known"
                ),
            ],
        },
    ),
]

PRICES = [
    migrations.CreateModel(
        name="BilledModel",
        fields=[
            ("id", models.AutoField(primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=120, unique=True)),
            ("created_at", models.DateTimeField(default=now, editable=False)),
        ],
        options={"db_table": "billed_model"},
    ),
    migrations.CreateModel(
        name="Sku",
        fields=[
            ("id", models.AutoField(primary_key=True, serialize=False)),
            ("model", models.ForeignKey("billing.billedmodel", models.PROTECT, related_name="skus")),
            ("kind", models.CharField(max_length=40, verbose_name="kind")),
        ],
        options={
            "db_table": "sku",
            "constraints": [
                models.UniqueConstraint(fields=["model", "kind"], name="sku_once_per_model_and_kind")
            ],
        },
    ),
    migrations.CreateModel(
        name="Price",
        fields=[
            ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
            (
                "sku",
                models.ForeignKey(
                    "billing.sku",
                    models.PROTECT,
                    related_name="prices",
                    verbose_name="model and kind of usage",
                ),
            ),
            ("valid", DateTimeRangeField(verbose_name="valid for")),
            ("per_million", models.DecimalField(decimal_places=8, max_digits=18, verbose_name="per million")),
            ("currency", models.CharField(max_length=3, verbose_name="currency")),
            ("same_as", models.CharField(max_length=40, null=True, verbose_name="same price as")),
            ("reason", models.CharField(max_length=300, verbose_name="reason")),
            (
                "created_by",
                models.ForeignKey(
                    settings.AUTH_USER_MODEL,
                    models.PROTECT,
                    null=True,
                    related_name="+",
                    verbose_name="created by",
                ),
            ),
            ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
        ],
        options={
            "verbose_name": "price",
            "verbose_name_plural": "prices",
            "db_table": "price",
            "permissions": [("publish_price", "Publish prices")],
            "constraints": [
                models.CheckConstraint(condition=Q(per_million__gte=0), name="price_is_not_negative"),
                models.CheckConstraint(condition=~Q(reason=""), name="price_has_a_reason"),
            ],
        },
    ),
]

PERIODS_AND_LINES = [
    migrations.CreateModel(
        name="BillingPeriod",
        fields=[
            ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
            (
                "tenant",
                models.ForeignKey(
                    "tenants.tenant",
                    models.PROTECT,
                    db_index=False,
                    related_name="billing_periods",
                    verbose_name="tenant",
                ),
            ),
            ("month", models.DateField()),
            (
                "state",
                models.CharField(
                    choices=[("open", "Open"), ("closed", "Closed")], default="open", max_length=6
                ),
            ),
            ("posted_up_to", models.DateField(null=True)),
            ("total", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
            ("lines", models.BigIntegerField(null=True)),
            ("sha256", models.CharField(blank=True, max_length=64)),
            ("closed_at", models.DateTimeField(null=True)),
        ],
        options={
            "db_table": "billing_period",
            "constraints": [
                models.UniqueConstraint(fields=["tenant", "month"], name="billing_period_one_a_month"),
                models.CheckConstraint(condition=Q(month__day=1), name="billing_period_is_a_month"),
                models.CheckConstraint(
                    condition=Q(state="open", closed_at__isnull=True)
                    | Q(state="closed", closed_at__isnull=False, total__isnull=False) & ~Q(sha256=""),
                    name="billing_period_frozen_once_closed",
                ),
            ],
        },
        managers=UNSCOPED,
    ),
    migrations.CreateModel(
        name="UnpostedDay",
        fields=[
            ("pk", models.CompositePrimaryKey("tenant", "period", "day", serialize=False)),
            (
                "tenant",
                models.ForeignKey("tenants.tenant", models.CASCADE, db_index=False, related_name="+"),
            ),
            ("period", models.DateField()),
            ("day", models.DateField()),
            ("changed_at", models.DateTimeField(default=now)),
        ],
        options={
            "db_table": "unposted_day",
            "indexes": [models.Index(fields=["day"], name="unposted_day_day")],
        },
        managers=UNSCOPED,
    ),
    migrations.CreateModel(
        name="CostLine",
        fields=[
            ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
            ("period", models.DateField()),
            (
                "tenant",
                models.ForeignKey("tenants.tenant", models.PROTECT, db_index=False, related_name="+"),
            ),
            (
                "project",
                models.ForeignKey("tenants.project", models.PROTECT, db_index=False, related_name="+"),
            ),
            ("sku", models.ForeignKey("billing.sku", models.PROTECT, db_index=False, related_name="+")),
            ("price", models.ForeignKey("billing.price", models.PROTECT, db_index=False, related_name="+")),
            ("day", models.DateField()),
            ("quantity", models.BigIntegerField()),
            ("per_million", models.DecimalField(decimal_places=8, max_digits=18)),
            ("amount", models.DecimalField(decimal_places=14, max_digits=38)),
            ("source_ref", models.CharField(max_length=200, unique=True)),
            (
                "reverses",
                models.OneToOneField(
                    "billing.costline", models.PROTECT, null=True, related_name="reversed_by"
                ),
            ),
            ("posted_at", models.DateTimeField(default=now, editable=False)),
        ],
        options={
            "db_table": "cost_line",
            "indexes": [models.Index(fields=["tenant", "period", "day"], name="cost_line_tenant_period_day")],
        },
        managers=UNSCOPED,
    ),
]

USAGE_FROM_ELSEWHERE = [
    migrations.CreateModel(
        name="QuarantinedEvent",
        fields=[
            ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
            (
                "tenant",
                models.ForeignKey(
                    "tenants.tenant", models.PROTECT, null=True, related_name="+", verbose_name="tenant"
                ),
            ),
            ("source", models.CharField(max_length=40, verbose_name="source")),
            ("event_id", models.CharField(max_length=200, verbose_name="event ID")),
            (
                "reason",
                models.CharField(
                    choices=[
                        ("conflicting_payload", "Same id, other content"),
                        ("unknown_key", "Unknown key"),
                        ("malformed", "Malformed"),
                    ],
                    max_length=20,
                    verbose_name="reason",
                ),
            ),
            ("payload", models.JSONField(verbose_name="content")),
            ("payload_sha", models.BinaryField()),
            ("recorded_at", models.DateTimeField(default=now, editable=False, verbose_name="recorded")),
        ],
        options={
            "verbose_name": "quarantined event",
            "verbose_name_plural": "quarantined events",
            "db_table": "quarantined_event",
            "constraints": [
                models.UniqueConstraint(
                    fields=["source", "event_id", "reason", "payload_sha"], name="quarantined_event_once"
                )
            ],
        },
        managers=UNSCOPED,
    ),
    migrations.CreateModel(
        name="UsageImport",
        fields=[
            ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
            ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, null=True, related_name="+")),
            ("source", models.CharField(max_length=40)),
            ("file_name", models.CharField(max_length=200)),
            ("file_sha256", models.CharField(max_length=64)),
            ("assignment", models.JSONField()),
            ("started_at", models.DateTimeField(default=now, editable=False)),
            ("finished_at", models.DateTimeField(null=True)),
            ("recorded", models.BigIntegerField(default=0)),
            ("repeated", models.BigIntegerField(default=0)),
            ("quarantined", models.BigIntegerField(default=0)),
        ],
        options={
            "db_table": "usage_import",
            "constraints": [
                models.UniqueConstraint(fields=["source", "file_sha256"], name="usage_import_once_per_file")
            ],
        },
        managers=UNSCOPED,
    ),
]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [*KINDS, *PRICES, *PERIODS_AND_LINES, *USAGE_FROM_ELSEWHERE]
