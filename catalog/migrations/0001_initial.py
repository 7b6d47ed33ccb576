"""The models on offer: versions, prices of each source, and imports."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.models import Func, Q
from django.utils.timezone import now

from core.ids import uuid7


class SearchLexemes(Func):
    """The searchable words of a model, until 0008_words_of_models."""

    arg_joiner = " || ' ' || "
    output_field = SearchVectorField()
    template = (
        "array_to_tsvector(array_remove("
        "regexp_split_to_array(lower(%(expressions)s), '[^a-z0-9.]+') || "
        "regexp_split_to_array(regexp_replace("
        "lower(%(expressions)s), '([a-z])([0-9])', '\\1 \\2', 'g'), '[^a-z0-9]+') || "
        "regexp_replace(lower(name), '[^a-z0-9]', '', 'g'), ''))"
    )


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
                        verbose_name="name",
                    ),
                ),
                ("title", models.CharField(max_length=160, verbose_name="display name")),
                ("maker", models.CharField(max_length=80, blank=True, verbose_name="maker")),
                ("description", models.TextField(blank=True, verbose_name="description")),
                ("mode", models.CharField(max_length=40, verbose_name="kind")),
                ("context_tokens", models.BigIntegerField(null=True, verbose_name="context in tokens")),
                (
                    "max_output_tokens",
                    models.BigIntegerField(null=True, verbose_name="longest output in tokens"),
                ),
                ("capabilities", models.JSONField(default=dict, verbose_name="capabilities")),
                (
                    "providers",
                    ArrayField(models.CharField(max_length=60), default=list, verbose_name="providers"),
                ),
                (
                    "regions",
                    ArrayField(models.CharField(max_length=60), default=list, verbose_name="regions"),
                ),
                (
                    "hosting",
                    models.CharField(
                        max_length=10,
                        default="vendor",
                        choices=[("ours", "our clusters"), ("vendor", "vendor-hosted")],
                        verbose_name="hosting",
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
                        verbose_name="lifecycle",
                    ),
                ),
                ("deprecation_date", models.DateField(null=True, verbose_name="deprecation date")),
                (
                    "risk_tier",
                    models.CharField(
                        max_length=10,
                        default="moderate",
                        choices=[("low", "Low"), ("moderate", "Moderate"), ("high", "High")],
                        verbose_name="risk tier",
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
                        verbose_name="highest data class",
                    ),
                ),
                ("source", models.CharField(max_length=120, blank=True, verbose_name="source")),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("updated_at", models.DateTimeField(default=now, verbose_name="updated")),
                ("offer_count", models.PositiveIntegerField(default=0, verbose_name="offers")),
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
                ("version", models.CharField(max_length=60, verbose_name="version")),
                ("upstream_name", models.CharField(max_length=200, verbose_name="upstream name")),
                ("digest", models.CharField(max_length=80, blank=True, verbose_name="digest")),
                ("precision", models.CharField(max_length=20, blank=True, verbose_name="precision")),
                ("gpus_per_replica", models.PositiveIntegerField(default=0)),
                ("memory", models.CharField(max_length=20, default="512Mi")),
                ("image", models.CharField(max_length=300, verbose_name="container image")),
                ("endpoints", ArrayField(models.CharField(max_length=20), blank=True, default=list)),
                ("command", ArrayField(models.CharField(max_length=300), default=list)),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
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
                ("source_key", models.CharField(max_length=200, verbose_name="key in the source")),
                ("provider", models.CharField(max_length=60, verbose_name="provider")),
                ("region", models.CharField(max_length=60, blank=True, verbose_name="region")),
                ("prices", models.JSONField(default=dict, verbose_name="prices")),
                ("facts", models.JSONField(default=dict)),
                ("source_url", models.URLField(max_length=500, blank=True)),
                ("deprecation_date", models.DateField(null=True, verbose_name="deprecation date")),
                ("digest", models.CharField(max_length=64)),
                ("is_primary", models.BooleanField(default=False, verbose_name="primary")),
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
                ("source", models.CharField(max_length=120, verbose_name="source")),
                ("file_name", models.CharField(max_length=200, verbose_name="file name")),
                ("digest", models.CharField(max_length=64, verbose_name="digest")),
                ("at", models.DateTimeField(default=now, editable=False, verbose_name="time")),
                (
                    "by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="imported by",
                    ),
                ),
                ("counts", models.JSONField(default=dict, verbose_name="numbers")),
                ("refused", models.JSONField(default=dict, verbose_name="refused entries")),
                (
                    "price_jumps",
                    models.JSONField(
                        default=dict,
                        db_default=models.Value({}, models.JSONField()),
                        verbose_name="price jumps",
                    ),
                ),
            ],
            options={
                "verbose_name": "catalog import",
                "verbose_name_plural": "catalog imports",
                "ordering": ["-at"],
            },
        ),
    ]
