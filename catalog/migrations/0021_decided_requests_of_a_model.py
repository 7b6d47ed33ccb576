"""The newest decided requests for a model are found by an index, for the page of a review."""

from django.db import migrations
from django.db.models import Index, Q


class Migration(migrations.Migration):
    dependencies = [("catalog", "0020_automatic_approval")]

    operations = [
        migrations.AddIndex(
            "accessrequest",
            Index(
                fields=["model", "-id"],
                condition=Q(state__in=["approved", "rejected"]),
                name="access_request_decided",
            ),
        ),
    ]
