"""What changed with each revision of the configuration, so that a gateway fetches only that."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_rules_of_rows"),
    ]

    operations = [
        migrations.CreateModel(
            "ConfigRevision",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("number", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="config_revision_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
        migrations.CreateModel(
            "ConfigChange",
            fields=[
                ("revision", models.BigIntegerField(primary_key=True, serialize=False)),
                ("mark", models.UUIDField()),
                ("raised_at", models.DateTimeField(db_default=Now())),
                ("is_everything", models.BooleanField()),
                ("tenants", ArrayField(models.UUIDField())),
                ("projects", ArrayField(models.UUIDField())),
                ("keys", ArrayField(models.UUIDField())),
                ("limits", ArrayField(models.UUIDField())),
            ],
        ),
    ]
