"""Data policy, license, languages, modalities, service level, owner, successor and tags of models."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


def words(longest):
    return ArrayField(models.CharField(max_length=longest), default=list, db_default=[])


def line(longest):
    return models.CharField(max_length=longest, blank=True, db_default="")


class Migration(migrations.Migration):
    dependencies = [("catalog", "0014_changes_wanted")]

    operations = [
        migrations.AddField("catalogmodel", name, field)
        for name, field in (
            ("prompts_go_to", line(200)),
            ("retention_days", models.PositiveIntegerField(null=True)),
            ("trains_on_data", models.BooleanField(null=True)),
            ("licence", line(80)),
            ("licence_url", models.URLField(max_length=500, blank=True, db_default="")),
            ("languages", words(40)),
            ("family", line(60)),
            ("modalities_in", words(20)),
            ("modalities_out", words(20)),
            ("sla", line(200)),
            ("owner", line(160)),
            ("successor", line(120)),
            ("tags", words(40)),
        )
    ]
