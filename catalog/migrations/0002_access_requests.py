"""Requests for access to a model, their reviews and decisions, and the grants that follow."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0001_initial"),
        ("tenants", "0002_rules_of_rows"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "AccessRequest",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "project",
                    models.ForeignKey(
                        "tenants.project",
                        models.PROTECT,
                        related_name="access_requests",
                        verbose_name="project",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        "catalog.catalogmodel",
                        models.PROTECT,
                        related_name="access_requests",
                        verbose_name="model",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        related_name="+",
                        verbose_name="requested by",
                    ),
                ),
                ("purpose", models.TextField(max_length=2000, verbose_name="purpose")),
                (
                    "data_class",
                    models.CharField(
                        max_length=12,
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                        verbose_name="data class",
                    ),
                ),
                (
                    "expected_tokens_per_day",
                    models.BigIntegerField(
                        validators=[MinValueValidator(1)], verbose_name="expected tokens per day"
                    ),
                ),
                ("limits", models.JSONField(default=dict, verbose_name="limits")),
                (
                    "duration_days",
                    models.PositiveIntegerField(
                        default=365,
                        validators=[MinValueValidator(1), MaxValueValidator(730)],
                        verbose_name="duration in days",
                    ),
                ),
                (
                    "expected_monthly_cost",
                    models.DecimalField(
                        null=True, max_digits=20, decimal_places=8, verbose_name="expected monthly cost"
                    ),
                ),
                ("currency", models.CharField(max_length=3, default="USD", verbose_name="currency")),
                ("rule_version", models.CharField(max_length=40, verbose_name="version of the rules")),
                ("rule_trace", models.JSONField(default=list, verbose_name="rules applied")),
                ("facts", models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))),
                (
                    "state",
                    models.CharField(
                        max_length=10,
                        default="pending",
                        choices=[
                            ("pending", "In review"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        verbose_name="state",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided")),
            ],
            options={
                "verbose_name": "access request",
                "verbose_name_plural": "access requests",
                "indexes": [
                    models.Index(name="access_request_newest", fields=["tenant", "-created_at"]),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="access_request_decided_unless_open",
                        condition=Q(state__in=["pending", "withdrawn"]) | Q(decided_at__isnull=False),
                    ),
                    models.CheckConstraint(
                        name="access_request_expects_tokens", condition=Q(expected_tokens_per_day__gt=0)
                    ),
                    models.UniqueConstraint(name="access_request_of_tenant", fields=("tenant", "id")),
                    models.UniqueConstraint(
                        name="access_request_one_open",
                        fields=("project", "model"),
                        condition=Q(state="pending"),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "RequestDelegate",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "access_request",
                    models.ForeignKey("catalog.accessrequest", models.PROTECT, related_name="delegates"),
                ),
                (
                    "person",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name="person"
                    ),
                ),
                (
                    "capacity",
                    models.CharField(
                        max_length=12,
                        choices=[
                            ("responsible", "Answered for the service account"),
                            ("issuer", "Issued one of its tokens"),
                            ("manager", "Could create its tokens, by their role in the tenant"),
                            ("staff", "Could create its tokens, as staff"),
                            ("emergency", "Had emergency access to the tenant"),
                        ],
                        verbose_name="capacity",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "delegate",
                "constraints": [
                    models.UniqueConstraint(
                        name="request_delegate_once", fields=("access_request", "person", "capacity")
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "Review",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "access_request",
                    models.ForeignKey(
                        "catalog.accessrequest",
                        models.CASCADE,
                        related_name="reviews",
                        verbose_name="access request",
                    ),
                ),
                (
                    "track",
                    models.CharField(
                        max_length=12,
                        choices=[("security", "Security"), ("compliance", "Compliance"), ("cost", "Cost")],
                        verbose_name="track",
                    ),
                ),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("quorum", models.PositiveSmallIntegerField(default=1, verbose_name="approvals needed")),
                ("round", models.PositiveSmallIntegerField(default=1, db_default=1, verbose_name="round")),
                (
                    "opened_by_facts",
                    models.BooleanField(
                        default=False, db_default=False, verbose_name="opened by changed facts"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        max_length=10,
                        default="pending",
                        choices=[
                            ("pending", "In review"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("cancelled", "Not needed"),
                        ],
                        verbose_name="state",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided")),
            ],
            options={
                "verbose_name": "review",
                "verbose_name_plural": "reviews",
                "permissions": [
                    ("review_security", "Decide security reviews"),
                    ("review_compliance", "Decide compliance reviews"),
                    ("review_cost", "Decide cost reviews"),
                ],
                "indexes": [
                    models.Index(name="review_queue", fields=["state", "due_at"]),
                ],
                "constraints": [
                    models.UniqueConstraint(name="review_one_per_track", fields=("access_request", "track")),
                    models.UniqueConstraint(name="review_of_tenant", fields=("tenant", "id")),
                    models.CheckConstraint(
                        name="review_decided_unless_open",
                        condition=Q(state__in=["pending", "cancelled"]) | Q(decided_at__isnull=False),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "ReviewDecision",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                ("review", models.ForeignKey("catalog.review", models.CASCADE, related_name="decisions")),
                ("reviewer", models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")),
                (
                    "verdict",
                    models.CharField(max_length=8, choices=[("approve", "Approve"), ("reject", "Reject")]),
                ),
                ("comment", models.TextField(max_length=2000, blank=True)),
                ("round", models.PositiveSmallIntegerField(default=1, db_default=1)),
                ("facts", models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))),
                ("at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="review_decision_one_per_person", fields=("review", "reviewer", "round")
                    ),
                    models.CheckConstraint(
                        name="review_refusal_has_reason", condition=Q(verdict="approve") | ~Q(comment="")
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "Grant",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "project",
                    models.ForeignKey(
                        "tenants.project", models.PROTECT, related_name="grants", verbose_name="project"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        "catalog.catalogmodel", models.PROTECT, related_name="grants", verbose_name="model"
                    ),
                ),
                (
                    "access_request",
                    models.OneToOneField(
                        "catalog.accessrequest",
                        models.PROTECT,
                        related_name="grant",
                        verbose_name="access request",
                    ),
                ),
                (
                    "key",
                    models.ForeignKey(
                        "tenants.apikey", models.PROTECT, related_name="grants", verbose_name="key"
                    ),
                ),
                ("valid_from", models.DateTimeField(default=now, verbose_name="valid from")),
                ("valid_until", models.DateTimeField(verbose_name="valid until")),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked at")),
                ("created_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "verbose_name": "grant",
                "verbose_name_plural": "grants",
                "indexes": [
                    models.Index(name="grant_project_model", fields=["project", "model"]),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="grant_ends_after_it_begins", condition=Q(valid_until__gt=models.F("valid_from"))
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
    ]
