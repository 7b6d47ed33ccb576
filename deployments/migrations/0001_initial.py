"""Where models run, and the routes and backends that lead there."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7


_OPTIONAL = {"null": True, "blank": True}


def _whole(label: str, least: int, most: int, help_text: str, **fields: Any) -> models.Field:  # type: ignore[type-arg]
    bounds = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveIntegerField(label, help_text=help_text, validators=bounds, **fields)


_HANDLING = [
    ("connect_timeout_seconds", _whole("time-out of connecting", 1, 60,
        "In seconds. Empty: as the provider states, or 3.", **_OPTIONAL)),
    ("first_byte_timeout_seconds", _whole("time-out of the first byte", 1, 3600,
        "In seconds. Empty: as the provider states, or 600. Models that think answer late.", **_OPTIONAL)),
    ("idle_timeout_seconds", _whole("time-out between bytes", 1, 3600,
        "In seconds. Empty: as the provider states, or 120.", **_OPTIONAL)),
    ("call_timeout_seconds", _whole("time-out of a whole call", 1, 86400,
        "In seconds, with all of its attempts. Empty: none.", **_OPTIONAL)),
    ("most_connections", _whole("connections to each target", 1, 4096,
        "How many calls each worker of a gateway has in progress at most at each address of a target. Empty: 1,024.",
        **_OPTIONAL)),
    ("most_attempts", _whole("attempts of a call", 1, 10,
        "How often a call is sent at most, if targets fail. 1: never again.", default=3)),
    ("retry_percent", _whole("retries in percent", 0, 100,
        "Which part of the calls of the last ten seconds a gateway sends again at most.", default=20)),
    ("retries_per_second", _whole("retries a second beside these", 0, 1000,
        "So that a route with few calls can retry at all.", default=10)),
]  # fmt: skip


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("catalog", "0001_initial"),
        ("deployments", "0001_providers"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            "Cluster",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("name", models.SlugField(max_length=60, unique=True, verbose_name="name")),
                (
                    "driver",
                    models.CharField(
                        max_length=12,
                        choices=[("local", "Local processes"), ("kubernetes", "Kubernetes")],
                        verbose_name="driver",
                    ),
                ),
                (
                    "namespace",
                    models.CharField(
                        max_length=63,
                        default="quartermaster",
                        validators=[
                            RegexValidator(
                                "^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$",
                                "A DNS label: lower-case letters, digits, hyphens.",
                            )
                        ],
                        verbose_name="namespace",
                    ),
                ),
                (
                    "kubeconfig_path",
                    models.CharField(max_length=300, blank=True, verbose_name="path of the kubeconfig"),
                ),
                ("region", models.CharField(max_length=60, blank=True, verbose_name="region")),
                ("version", models.CharField(max_length=100, blank=True, verbose_name="version")),
                ("resources", models.JSONField(blank=True, default=dict)),
                ("tested_at", models.DateTimeField(blank=True, null=True, verbose_name="tested")),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "cluster",
                "verbose_name_plural": "clusters",
            },
        ),
        migrations.CreateModel(
            "Deployment",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=53,
                        validators=[
                            RegexValidator(
                                "^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$",
                                "A DNS label: lower-case letters, digits, hyphens.",
                            )
                        ],
                        verbose_name="name",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        "catalog.modelversion",
                        models.PROTECT,
                        related_name="deployments",
                        verbose_name="version",
                    ),
                ),
                (
                    "cluster",
                    models.ForeignKey(
                        "deployments.cluster",
                        models.PROTECT,
                        related_name="deployments",
                        verbose_name="cluster",
                    ),
                ),
                ("replicas", models.PositiveIntegerField(default=1, verbose_name="replicas")),
                ("generation", models.BigIntegerField(default=1, verbose_name="generation")),
                ("is_deleted", models.BooleanField(default=False)),
                (
                    "observed_generation",
                    models.BigIntegerField(default=0, verbose_name="observed generation"),
                ),
                ("ready_replicas", models.PositiveIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        max_length=10,
                        default="starting",
                        choices=[
                            ("starting", "Starting"),
                            ("healthy", "Healthy"),
                            ("degraded", "Degraded"),
                            ("down", "Down"),
                            ("deleted", "Deleted"),
                        ],
                        verbose_name="state",
                    ),
                ),
                ("conditions", models.JSONField(blank=True, default=list)),
                ("observed_at", models.DateTimeField(blank=True, null=True, verbose_name="observed")),
                ("drift", models.CharField(max_length=600, blank=True)),
                ("drift_at", models.DateTimeField(blank=True, null=True)),
                ("next_look_at", models.DateTimeField(default=now)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                (
                    "applied_image",
                    models.CharField(max_length=300, blank=True, default="", db_default="", editable=False),
                ),
                (
                    "applied_command",
                    ArrayField(
                        models.CharField(max_length=300),
                        blank=True,
                        default=list,
                        db_default=[],
                        editable=False,
                    ),
                ),
                (
                    "runtime",
                    models.CharField(max_length=20, blank=True, default="", db_default="", editable=False),
                ),
                (
                    "cache_key_field",
                    models.CharField(max_length=40, blank=True, default="", db_default="", editable=False),
                ),
                ("is_prefix_cache_off", models.BooleanField(default=False, db_default=False, editable=False)),
                ("stated_field", models.CharField(max_length=64, blank=True, default="", db_default="")),
                ("stated_reason", models.CharField(max_length=500, blank=True, default="", db_default="")),
                (
                    "stated_program",
                    models.CharField(max_length=64, blank=True, default="", db_default="", editable=False),
                ),
                ("stated_at", models.DateTimeField(blank=True, null=True)),
                ("statement_lapsed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "only_tenant",
                    models.ForeignKey(
                        "tenants.tenant", models.PROTECT, blank=True, null=True, related_name="+"
                    ),
                ),
                ("sharing_reason", models.CharField(max_length=500, blank=True, default="", db_default="")),
                ("sharing_accepted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "allowed_controls",
                    ArrayField(models.CharField(max_length=60), blank=True, default=list, db_default=[]),
                ),
            ],
            options={
                "verbose_name": "deployment",
                "verbose_name_plural": "deployments",
                "permissions": [("manage_deployment", "Create, scale and delete deployments")],
                "indexes": [
                    models.Index(
                        name="deployment_due",
                        fields=["next_look_at"],
                        condition=~Q(state="deleted"),
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="deployment_observed_what_was_wanted",
                        condition=Q(observed_generation__lte=models.F("generation")),
                    ),
                    models.UniqueConstraint(
                        name="deployment_name_unique_while_it_lives",
                        fields=("name",),
                        condition=~Q(state="deleted"),
                    ),
                    models.CheckConstraint(
                        name="deployment_sharing_has_a_reason",
                        condition=Q(sharing_accepted_at=None, sharing_reason="")
                        | Q(sharing_accepted_at__isnull=False) & ~Q(sharing_reason=""),
                    ),
                    models.CheckConstraint(
                        name="deployment_statement_is_whole",
                        condition=Q(
                            stated_at=None,
                            stated_field="",
                            stated_program="",
                            stated_reason="",
                            statement_lapsed_at=None,
                        )
                        | Q(stated_at__isnull=False, stated_field__regex="^[A-Za-z_][A-Za-z0-9_]{0,63}$")
                        & ~Q(stated_reason="")
                        & ~Q(stated_program=""),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "Target",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "deployment",
                    models.OneToOneField(
                        "deployments.deployment", models.PROTECT, null=True, blank=True, related_name="target"
                    ),
                ),
                (
                    "provider_model",
                    models.OneToOneField(
                        "deployments.providermodel",
                        models.CASCADE,
                        null=True,
                        blank=True,
                        related_name="target",
                    ),
                ),
                ("revision", models.BigIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="target_is_one_thing",
                        condition=Q(deployment__isnull=False, provider_model=None)
                        | Q(deployment=None, provider_model__isnull=False),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "TargetAddress",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("target", models.ForeignKey("deployments.target", models.CASCADE, related_name="addresses")),
                ("url", models.URLField(max_length=300)),
                ("revision", models.BigIntegerField(default=0, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="address_once_per_target", fields=("target", "url")),
                ],
            },
        ),
        migrations.CreateModel(
            "Route",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                *_HANDLING,
                (
                    "probes",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Our own engines once they are ejected, providers never"),
                            ("off", "None"),
                            ("ejected", "Ejected targets, providers included"),
                            ("idle", "Ejected and idle targets, providers included"),
                        ],
                        default="",
                        help_text="Gateways ask these for their list of models, which may count against a provider's limits.",
                        max_length=10,
                        verbose_name="probes",
                    ),
                ),
                (
                    "is_sticky",
                    models.BooleanField(
                        default=False,
                        help_text="Calls with the same x-session-id or prompt_cache_key go to the same target while it answers.",
                        verbose_name="calls of a session stay together",
                    ),
                ),
                (
                    "model",
                    models.OneToOneField(
                        "catalog.catalogmodel", models.PROTECT, related_name="route", verbose_name="model"
                    ),
                ),
                (
                    "generation",
                    models.BigIntegerField(
                        default=0,
                        editable=False,
                        help_text="Grows with every change of the route.",
                        verbose_name="generation",
                    ),
                ),
                ("changed_at", models.DateTimeField(null=True, editable=False, verbose_name="changed at")),
                ("revision", models.BigIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                (
                    "degrades_to",
                    models.ForeignKey(
                        "catalog.catalogmodel",
                        models.PROTECT,
                        null=True,
                        editable=False,
                        related_name="smaller_for",
                    ),
                ),
                ("degrades_at_money_percent", models.PositiveSmallIntegerField(null=True, editable=False)),
                ("degrades_above_first_token_ms", models.PositiveIntegerField(null=True, editable=False)),
            ],
            options={
                "verbose_name": "route",
                "verbose_name_plural": "routes",
                "permissions": [("manage_route", "Change which targets serve a model")],
                "constraints": [
                    models.CheckConstraint(
                        name="route_handling_is_possible",
                        condition=(Q(connect_timeout_seconds=None) | Q(connect_timeout_seconds__gte=1))
                        & (Q(first_byte_timeout_seconds=None) | Q(first_byte_timeout_seconds__gte=1))
                        & (Q(idle_timeout_seconds=None) | Q(idle_timeout_seconds__gte=1))
                        & (Q(call_timeout_seconds=None) | Q(call_timeout_seconds__gte=1))
                        & (Q(most_connections=None) | Q(most_connections__gte=1))
                        & Q(most_attempts__gte=1, most_attempts__lte=10)
                        & Q(retry_percent__lte=100, probes__in=["", "off", "ejected", "idle"]),
                    ),
                    models.CheckConstraint(
                        name="route_degrades_by_a_goal",
                        condition=Q(
                            degrades_to=None,
                            degrades_at_money_percent=None,
                            degrades_above_first_token_ms=None,
                        )
                        | Q(degrades_to__isnull=False)
                        & (
                            Q(degrades_at_money_percent__isnull=False)
                            | Q(degrades_above_first_token_ms__isnull=False)
                        )
                        & (Q(degrades_at_money_percent=None) | Q(degrades_at_money_percent__range=(1, 100)))
                        & (Q(degrades_above_first_token_ms=None) | Q(degrades_above_first_token_ms__gte=1)),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "RouteFallback",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("route", models.ForeignKey("deployments.route", models.CASCADE, related_name="fallbacks")),
                (
                    "model",
                    models.ForeignKey("catalog.catalogmodel", models.PROTECT, related_name="stands_in_for"),
                ),
                ("position", models.PositiveSmallIntegerField()),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(name="fallback_once_per_route", fields=("route", "model")),
                ],
            },
        ),
        migrations.CreateModel(
            "RouteEntry",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("route", models.ForeignKey("deployments.route", models.CASCADE, related_name="entries")),
                ("target", models.ForeignKey("deployments.target", models.PROTECT, related_name="entries")),
                ("weight", models.PositiveIntegerField(default=1)),
                ("priority", models.PositiveSmallIntegerField(default=0)),
                ("variant", models.CharField(max_length=40, default="stable", db_default="stable")),
                ("revision", models.BigIntegerField(default=0, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="target_once_per_route", fields=("route", "target")),
                    models.CheckConstraint(name="route_entry_weight", condition=Q(weight__lte=1000)),
                    models.CheckConstraint(name="route_entry_priority", condition=Q(priority__lte=100)),
                ],
            },
        ),
    ]
