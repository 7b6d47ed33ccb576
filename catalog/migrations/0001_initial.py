"""The models on offer: versions, prices of each source, and imports."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from catalog.search import SearchLexemes
from core.ids import uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "CatalogModel",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=120,
                        unique=True,
                        validators=[
                            RegexValidator(
                                "^[a-z0-9][a-z0-9._-]*$",
                                "Lower-case letters, digits, dots, hyphens and underscores only.",
                            )
                        ],
                    ),
                ),
                ("title", models.CharField(max_length=160)),
                ("maker", models.CharField(max_length=80, blank=True)),
                ("description", models.TextField(blank=True)),
                ("mode", models.CharField(max_length=40)),
                ("context_tokens", models.BigIntegerField(null=True)),
                ("max_output_tokens", models.BigIntegerField(null=True)),
                ("capabilities", models.JSONField(default=dict)),
                ("providers", ArrayField(models.CharField(max_length=60), default=list)),
                ("regions", ArrayField(models.CharField(max_length=60), default=list)),
                (
                    "hosting",
                    models.CharField(
                        max_length=10,
                        default="vendor",
                        choices=[("ours", "our clusters"), ("vendor", "vendor-hosted")],
                    ),
                ),
                (
                    "lifecycle",
                    models.CharField(
                        max_length=12,
                        default="draft",
                        choices=[
                            ("draft", "Draft"),
                            ("preview", "Preview"),
                            ("published", "Published"),
                            ("deprecated", "Deprecated"),
                            ("retired", "Retired"),
                        ],
                    ),
                ),
                ("deprecation_date", models.DateField(null=True)),
                (
                    "risk_tier",
                    models.CharField(
                        max_length=10,
                        default="moderate",
                        choices=[("low", "Low"), ("moderate", "Moderate"), ("high", "High")],
                    ),
                ),
                (
                    "highest_data_class",
                    models.CharField(
                        max_length=12,
                        default="internal",
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                    ),
                ),
                ("source", models.CharField(max_length=120, blank=True)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("updated_at", models.DateTimeField(default=now)),
                ("offer_count", models.PositiveIntegerField(default=0)),
                ("list_input_price", models.DecimalField(null=True, max_digits=18, decimal_places=8)),
                ("imported", models.JSONField(default=dict, editable=False)),
                ("search_text", models.TextField(blank=True, editable=False)),
                (
                    "search",
                    models.GeneratedField(
                        db_persist=True,
                        expression=SearchLexemes("name", "title", "maker", "search_text"),
                        output_field=SearchVectorField(),
                    ),
                ),
            ],
            options={
                "verbose_name": "model",
                "verbose_name_plural": "models",
                "permissions": [
                    ("publish_model", "Publish or retire a model"),
                ],
                "indexes": [
                    GinIndex(name="catalog_model_search", fields=["search"]),
                ],
            },
        ),
        migrations.CreateModel(
            "ModelVersion",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("model", models.ForeignKey("catalog.catalogmodel", models.PROTECT, related_name="versions")),
                ("version", models.CharField(max_length=60)),
                ("upstream_name", models.CharField(max_length=200)),
                ("digest", models.CharField(max_length=80, blank=True)),
                ("precision", models.CharField(max_length=20, blank=True)),
                ("gpus_per_replica", models.PositiveIntegerField(default=0)),
                ("memory", models.CharField(max_length=20, default="512Mi")),
                ("image", models.CharField(max_length=300)),
                ("endpoints", ArrayField(models.CharField(max_length=20), blank=True, default=list)),
                ("command", ArrayField(models.CharField(max_length=300), default=list)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="model_version_unique", fields=("model", "version")),
                ],
            },
        ),
        migrations.CreateModel(
            "Offer",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("model", models.ForeignKey("catalog.catalogmodel", models.CASCADE, related_name="offers")),
                ("source", models.CharField(max_length=120)),
                ("source_key", models.CharField(max_length=200)),
                ("provider", models.CharField(max_length=60)),
                ("region", models.CharField(max_length=60, blank=True)),
                ("prices", models.JSONField(default=dict)),
                ("facts", models.JSONField(default=dict)),
                ("source_url", models.URLField(max_length=500, blank=True)),
                ("deprecation_date", models.DateField(null=True)),
                ("digest", models.CharField(max_length=64)),
                ("is_primary", models.BooleanField(default=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="offer_once_per_source", fields=("source", "source_key")),
                    models.UniqueConstraint(
                        name="offer_one_primary", fields=("model",), condition=Q(is_primary=True)
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "CatalogImport",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("source", models.CharField(max_length=120)),
                ("file_name", models.CharField(max_length=200)),
                ("digest", models.CharField(max_length=64)),
                ("at", models.DateTimeField(default=now, editable=False)),
                (
                    "by",
                    models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"),
                ),
                ("counts", models.JSONField(default=dict)),
                ("refused", models.JSONField(default=dict)),
                (
                    "price_jumps",
                    models.JSONField(default=dict, db_default=models.Value({}, models.JSONField())),
                ),
            ],
            options={
                "verbose_name": "catalog import",
                "verbose_name_plural": "catalog imports",
                "ordering": ["-at"],
            },
        ),
    ]
