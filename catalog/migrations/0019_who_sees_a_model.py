"""A model is offered to all tenants, to chosen ones, or to nobody."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0018_delegations")]

    operations = [
        migrations.AddField(
            "catalogmodel",
            "visibility",
            models.CharField(
                choices=[("all", "All tenants"), ("tenants", "Chosen tenants"), ("hidden", "Nobody")],
                db_default="all",
                default="all",
                max_length=10,
            ),
        ),
        migrations.AddField(
            "catalogmodel",
            "only_for",
            ArrayField(models.CharField(max_length=60), default=list, db_default=[]),
        ),
    ]
