"""A dry run of rules reads the newest requests."""

from django.db import migrations
from django.db.models import Index, Q


class Migration(migrations.Migration):
    dependencies = [("catalog", "0022_review_teams")]

    operations = [
        migrations.AddIndex(
            model_name="ruleevaluation",
            index=Index(fields=["-at"], condition=Q(occasion="raised"), name="rule_evaluation_raised"),
        )
    ]
