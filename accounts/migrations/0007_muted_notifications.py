"""People choose what they are told, and how."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_inbox")]

    operations = [
        migrations.AddField(
            "user",
            "muted",
            ArrayField(models.CharField(max_length=80), default=list, db_default=[], editable=False),
        ),
    ]
