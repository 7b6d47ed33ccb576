"""Models have evaluation scores with their sources."""

import core.ids
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0036_questions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EvaluationScore",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("benchmark", models.CharField(max_length=80, verbose_name="benchmark")),
                ("metric", models.CharField(blank=True, max_length=40, verbose_name="metric")),
                ("value", models.DecimalField(decimal_places=4, max_digits=12, verbose_name="score")),
                ("source_url", models.URLField(max_length=500, verbose_name="source")),
                ("stated_on", models.DateField(verbose_name="date")),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="entered"
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="entered by",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="scores",
                        to="catalog.catalogmodel",
                        verbose_name="model",
                    ),
                ),
            ],
            options={
                "verbose_name": "evaluation score",
                "verbose_name_plural": "evaluation scores",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "benchmark", "metric"), name="evaluation_score_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("source_url__startswith", "http")),
                        name="evaluation_score_has_a_source",
                    ),
                ],
            },
        ),
    ]
