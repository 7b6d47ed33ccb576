"""How long reviews of a track usually take is measured over the newest decided ones."""

from django.db import migrations
from django.db.models import Index, Q


class Migration(migrations.Migration):
    dependencies = [("catalog", "0026_delegations_in_a_row")]

    operations = [
        migrations.AddIndex(
            model_name="review",
            index=Index(
                fields=["track", "-decided_at"],
                condition=Q(state__in=["approved", "rejected"], round=1),
                name="review_pace",
            ),
        )
    ]
