"""Reviewers choose an hour at which they are sent what waits for them."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_muted_notifications")]

    operations = [
        migrations.AddField(
            "user", "time_zone", models.CharField("time zone", max_length=60, blank=True, db_default="")
        ),
        migrations.AddField(
            "user",
            "digest_hour",
            models.PositiveSmallIntegerField("hour of the daily summary", null=True, blank=True),
        ),
        migrations.AddConstraint(
            "user",
            models.CheckConstraint(
                name="user_digest_hour_is_one", condition=Q(digest_hour=None) | Q(digest_hour__lte=23)
            ),
        ),
        migrations.AddIndex(
            "user",
            models.Index(fields=["id"], name="user_with_digest", condition=Q(digest_hour__isnull=False)),
        ),
    ]
