"""Every page of a tenant counts the keys that its reader may claim, which are a few of many."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_project_purchase_order")]

    operations = [
        migrations.AddIndex(
            "apikey",
            models.Index(
                fields=["tenant", "claim_by"], condition=Q(state="claimable"), name="api_key_to_claim"
            ),
        ),
    ]
